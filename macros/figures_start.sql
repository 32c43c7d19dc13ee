{% macro figures_start() -%}
    {{ local_midnight(
        "date_sub(" ~ today() ~ ", interval " ~ setting("figures_lookback_days") ~ " day)"
    ) }}
{%- endmacro %}
