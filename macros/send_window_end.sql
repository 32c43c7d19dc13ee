{% macro send_window_end() -%}
    {#- Hour 24 is midnight, which no clock time of the day itself can say. -#}
    timestamp(
        datetime_add(
            datetime({{ today() }}), interval {{ var("send_until_hour") }} hour
        ),
        '{{ var("timezone") }}'
    )
{%- endmacro %}
