{% macro safe_instant(instant) -%}
    {#- Tills write the year 1 or 9999 for an unknown instant, and BigQuery cannot convert the first
        and last hours of its calendar to another time zone. -#}
    if(
        {{ instant }} >= timestamp '1900-01-01 00:00:00+00:00'
        and {{ instant }} < timestamp '2100-01-01 00:00:00+00:00',
        {{ instant }},
        null
    )
{%- endmacro %}
