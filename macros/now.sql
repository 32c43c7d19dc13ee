{% macro now() -%}
    timestamp '{{ run_instant().strftime("%Y-%m-%d %H:%M:%S.%f+00:00") }}'
{%- endmacro %}
