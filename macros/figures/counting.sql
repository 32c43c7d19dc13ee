{% macro is_counted_anew(instant) -%}
    {%- if is_incremental() -%} {{ instant }} >= {{ figures_start() }}
    {%- else -%} true
    {%- endif -%}
{%- endmacro %}

{% macro figures_start() -%}
    {{ local_midnight(
        "date_sub(" ~ today() ~ ", interval " ~ setting("figures_lookback_days") ~ " day)"
    ) }}
{%- endmacro %}

{% macro conversion_end(instant) -%}
    timestamp_add({{ instant }}, interval {{ setting("conversion_days") * 24 }} hour)
{%- endmacro %}
