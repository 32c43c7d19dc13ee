{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ var("cnpj") }}_{{ "PREVIEW" if var("preview") else "CAMPAIGN" }}
{%- endmacro %}
