{% macro local_time_text(instant) -%}
    format_timestamp('%F %H:%M', {{ instant }}, '{{ var("timezone") }}')
{%- endmacro %}
