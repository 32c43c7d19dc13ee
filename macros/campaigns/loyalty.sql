{% macro loyalty_window_start() -%}
    {{ local_midnight(
        "date_sub(" ~ today() ~ ", interval " ~ var("loyalty_months") ~ " month)"
    ) }}
{%- endmacro %}

{% macro loyalty_tiers() -%}
    [
        {% for name, visits in setting("loyalty_tiers").items() -%}
            struct({{ sql_text(name) }} as name, {{ visits }} as visits)
            {%- if not loop.last %},{% endif %}
        {% endfor -%}
    ]
{%- endmacro %}
