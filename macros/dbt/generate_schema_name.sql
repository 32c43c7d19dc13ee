{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ checked_cnpj() }}_{{ "PREVIEW" if var("preview") else "CAMPAIGN" }}
{%- endmacro %}
