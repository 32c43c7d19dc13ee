{% macro earliest(times) -%}
    {#- least() is NULL as soon as one of them is. -#}
    (select min(time) from unnest([{{ times | join(", ") }}]) as time)
{%- endmacro %}
