{% macro with_fields(json, fields) -%}
    {#- One call a field, and NULL as JSON null: bqemulator 1.4.0 sets only the first of several
        fields, and its to_json(NULL) is NULL, which would take the whole document with it. -#}
    {%- set result = namespace(sql=json) -%}
    {%- for name, value in fields.items() -%}
        {%- set result.sql -%}
            json_set(
                {{ result.sql }},
                '$.{{ name }}',
                coalesce(to_json({{ value }}), json 'null')
            )
        {%- endset -%}
    {%- endfor -%}
    {{ result.sql }}
{%- endmacro %}
