{% macro render_text(body, placeholders) -%}
    {#- One pass over the text: a value that looks like a placeholder is not replaced again. -#}
    (
        select
            if(
                logical_and(not starts_with(part, '{') or placeholder.value is not null),
                string_agg(
                    if(starts_with(part, '{'), placeholder.value, part), '' order by position
                ),
                null
            )
        from
            unnest(
                regexp_extract_all({{ body }}, r'\{[^{}]*\}|[^{]+|\{')
            ) as part with offset as position
        left join
            unnest({{ placeholders }}) as placeholder
            on part = concat('{', placeholder.name, '}')
    )
{%- endmacro %}

{% macro template(templates, placeholders) -%}
    struct(
        {{ templates }}.template_name as name,
        {{ templates }}.language as language,
        array(
            select as struct
                placeholder.name as parameter_name,
                placeholder.value as text
            from unnest({{ placeholders }}) as placeholder
            where strpos({{ templates }}.body, concat('{', placeholder.name, '}')) > 0
            order by strpos({{ templates }}.body, concat('{', placeholder.name, '}'))
        ) as parameters
    )
{%- endmacro %}

{% macro with_fields(json, fields) -%}
    {#- One call per field, and NULL as JSON null: bqemulator 1.4.0 sets only the first of several
        fields, and its to_json(NULL) is NULL, which would make the whole document NULL. -#}
    {%- set result = namespace(sql=json) -%}
    {%- for name, value in fields.items() -%}
        {%- set result.sql -%}
            json_set(
                {{ result.sql }},
                {{ sql_text('$.' ~ name) }},
                coalesce(to_json({{ value }}), json 'null')
            )
        {%- endset -%}
    {%- endfor -%}
    {{ result.sql }}
{%- endmacro %}
