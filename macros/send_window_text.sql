{% macro send_window_text(campaign) -%}
    {%- set from_hour, until_hour = send_hours(campaign) -%}
    it is {{ local_now().strftime("%a %H:%M") }}, and messages go out from {{ from_hour }} to {{ until_hour }} h on {{ setting("send_weekdays") | join(", ") }}
{%- endmacro %}
