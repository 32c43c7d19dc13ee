{% macro next_send_day(campaign) -%}
    {#- Today only before the window opens. Nobody blacks out a whole year. -#}
    {%- set from_hour, until_hour = send_hours(campaign) -%}
    {%- set day = namespace(found=none) -%}
    {%- for days_ahead in range(0 if local_now().hour < from_hour else 1, 367) -%}
        {%- if day.found is none -%}
            {%- set that_day = local_now().date() + modules.datetime.timedelta(days=days_ahead) -%}
            {%- if is_send_day(that_day) -%} {%- set day.found = days_ahead -%} {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if day.found is none -%} cast(null as date)
    {%- else -%} date_add({{ today() }}, interval {{ day.found }} day)
    {%- endif -%}
{%- endmacro %}
