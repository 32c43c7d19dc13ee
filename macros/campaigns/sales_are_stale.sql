{% macro sales_are_stale(newest_sale_at) -%}
    {%- if setting("stale_sales_hours") -%}
        {{ newest_sale_at }} < timestamp_sub(
            {{ now() }}, interval {{ setting("stale_sales_hours") }} hour
        )
    {%- else -%} false
    {%- endif -%}
{%- endmacro %}
