{% macro send_hours(campaign) %}
    {#- A campaign may begin later than the others, never earlier. -#}
    {%- set own_hour = campaign_setting(campaign, "send_from_hour") -%}
    {{ return([[setting("send_from_hour"), own_hour or 0] | max, setting("send_until_hour")]) }}
{% endmacro %}
