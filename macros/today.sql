{% macro today() -%}
    date '{{ local_now().strftime("%Y-%m-%d") }}'
{%- endmacro %}
