{% macro next_day_of_month(day) -%}
    {#- Two months hold every day of the month at least once. -#}
    {%- set current = local_now().date() -%}
    {%- set days = namespace(until=none) -%}
    {%- for days_ahead in range(1, 63) -%}
        {%- set that_day = current + modules.datetime.timedelta(days=days_ahead) -%}
        {%- if (that_day.day >= day) != (current.day >= day) and days.until is none -%}
            {%- set days.until = days_ahead -%}
        {%- endif -%}
    {%- endfor -%}
    date_add({{ today() }}, interval {{ days.until }} day)
{%- endmacro %}
