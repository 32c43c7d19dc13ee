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
        and upper(format_date('%a', {{ today() }})) in unnest({{ sql_text(setting("send_weekdays")) }})
    )
{%- endmacro %}

{% macro next_send_day(campaign) -%}
    {#- Today only before the window opens. Every weekday is among the next seven days. -#}
    {%- set from_hour, until_hour = send_hours(campaign) -%}
    (
        select min(day)
        from
            unnest(
                generate_date_array({{ today() }}, date_add({{ today() }}, interval 7 day))
            ) as day
        where
            upper(format_date('%a', day)) in unnest({{ sql_text(setting("send_weekdays")) }})
            and (day > {{ today() }} or {{ local_now().hour }} < {{ from_hour }})
    )
{%- endmacro %}
