{% macro is_in_send_window(campaign) -%}
    {#- A campaign may begin later than the others, never earlier. -#}
    {%- set own_hour = campaign_setting(campaign, "send_from_hour") -%}
    {%- set from_hour = [var("send_from_hour"), own_hour or 0] | max -%}
    (
        extract(hour from {{ now() }} at time zone '{{ var("timezone") }}')
        between {{ from_hour }} and {{ var("send_until_hour") }} - 1
        and format_date('%a', {{ today() }}) in (
            {%- for day in var("send_weekdays") -%}
                '{{ day | capitalize }}'
                {%- if not loop.last %}, {% endif -%}
            {%- endfor -%}
        )
    )
{%- endmacro %}
