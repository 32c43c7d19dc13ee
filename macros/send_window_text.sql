{% macro send_window_text(campaign) -%}
    {%- set from_hour, until_hour = send_hours(campaign) -%}
    {%- set is_kept_free = not is_send_day(local_now().date()) -%}
    it is {{ local_now().strftime("%a %H:%M") }}{{ ", a day without messages" if is_kept_free }}, and messages go out from {{ from_hour }} to {{ until_hour }} h on {{ setting("send_weekdays") | join(", ") }}
{%- endmacro %}
