{% macro frequency_cap_start() -%}
    {#- Today is one of the days. -#}
    {{ local_midnight(
        "date_sub(" ~ today() ~ ", interval " ~ (setting("frequency_cap_days") - 1) ~ " day)"
    ) }}
{%- endmacro %}
