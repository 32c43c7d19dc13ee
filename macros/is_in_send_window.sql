{% macro is_in_send_window(campaign) -%}
    {%- set from_hour, until_hour = send_hours(campaign) -%}
    (
        extract(hour from {{ now() }} at time zone '{{ var("timezone") }}')
        between {{ from_hour }} and {{ until_hour }} - 1
        and {{ is_send_day(local_now().date()) | tojson }}
    )
{%- endmacro %}
