{% macro next_send_day(campaign) -%}
    {#- Today only before the window opens; a week holds every weekday. -#}
    {%- set from_hour, until_hour = send_hours(campaign) -%}
    {%- set day = namespace(found=none) -%}
    {%- for days_ahead in range(0 if local_now().hour < from_hour else 1, 8) -%}
        {%- set that_day = local_now().date() + modules.datetime.timedelta(days=days_ahead) -%}
        {%- if day.found is none and that_day.strftime("%a") | upper in setting("send_weekdays") -%}
            {%- set day.found = days_ahead -%}
        {%- endif -%}
    {%- endfor -%}
    date_add({{ today() }}, interval {{ day.found }} day)
{%- endmacro %}
