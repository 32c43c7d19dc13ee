{% macro local_date(instant) -%}
    date({{ instant }}, '{{ var("timezone") }}')
{%- endmacro %}
