{% macro first_name(name) -%}
    coalesce(initcap(regexp_extract({{ name }}, r'^\S+')), 'cliente')
{%- endmacro %}
