{% macro conversion_end(instant) -%}
    timestamp_add({{ instant }}, interval {{ setting("conversion_days") * 24 }} hour)
{%- endmacro %}
