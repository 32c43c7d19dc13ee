{% macro is_in_send_window() -%}
    (
        extract(hour from {{ now() }} at time zone '{{ var("timezone") }}')
        between {{ var("send_from_hour") }} and {{ var("send_until_hour") }} - 1
        and format_date('%a', {{ today() }}) in (
            {%- for day in var("send_weekdays") -%}
                '{{ day | capitalize }}'
                {%- if not loop.last %}, {% endif -%}
            {%- endfor -%}
        )
    )
{%- endmacro %}
