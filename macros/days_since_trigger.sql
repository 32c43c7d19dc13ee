{% macro days_since_trigger(fact, business_date, operator, days) %}
    {#- The day after which more time changes nothing: once enough days have passed they stay so,
        and once too many have, they stay too many. -#}
    {%- set last_day_of_old_answer = days - 1 if operator == ">=" else days -%}
    {%- set changes_on = (
        "date_add(" ~ business_date ~ ", interval " ~ (last_day_of_old_answer + 1) ~ " day)"
    ) -%}
    {{ return(trigger(
        "days since " ~ fact,
        "date_diff(" ~ today() ~ ", " ~ business_date ~ ", day)",
        operator,
        days,
        changes_on="if(" ~ changes_on ~ " > " ~ today() ~ ", " ~ changes_on ~ ", null)",
    )) }}
{% endmacro %}
