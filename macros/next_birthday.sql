{% macro next_birthday(born_on) -%}
    {%- set this_year = birthday_in_year(born_on, today()) -%}
    {%- set next_year = birthday_in_year(
        born_on, "date_add(" ~ today() ~ ", interval 1 year)"
    ) -%}
    {#- On the day itself the answer changes tomorrow. -#}
    case
        when {{ this_year }} = {{ today() }} then date_add({{ today() }}, interval 1 day)
        when {{ this_year }} > {{ today() }} then {{ this_year }}
        else {{ next_year }}
    end
{%- endmacro %}
