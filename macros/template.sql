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
