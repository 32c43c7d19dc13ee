{% macro is_send_day(day) %}
    {%- set written = day.isoformat() -%}
    {{ return(
        day.strftime("%a") | upper in setting("send_weekdays")
        and written not in setting("blackout_dates")
        and (setting("sends_on_national_holidays") or not is_national_holiday(day))
    ) }}
{% endmacro %}
