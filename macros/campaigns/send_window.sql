{% macro send_hours(campaign) %}
    {#- A campaign may begin later than the others, never earlier. -#}
    {%- set own_hour = setting(campaign ~ "_send_from_hour") -%}
    {{ return([[setting("send_from_hour"), own_hour or 0] | max, setting("send_until_hour")]) }}
{% endmacro %}

{% macro is_in_send_window(campaign) -%}
    {%- set from_hour, until_hour = send_hours(campaign) -%}
    (
        extract(hour from {{ now() }} at time zone {{ sql_text(var('timezone')) }})
        between {{ from_hour }} and {{ until_hour }} - 1
        and {{ is_send_day(local_now().date()) | tojson }}
    )
{%- endmacro %}

{% macro next_send_day(campaign) -%}
    {#- Today counts only before the window opens. A year is enough: nobody blocks all its days. -#}
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
