{% macro loyalty_window_start() -%}
    {{ local_midnight(
        "date_sub(" ~ today() ~ ", interval " ~ var("loyalty_months") ~ " month)"
    ) }}
{%- endmacro %}
