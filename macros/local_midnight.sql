{% macro local_midnight(business_date) -%}
    timestamp({{ business_date }}, '{{ var("timezone") }}')
{%- endmacro %}
