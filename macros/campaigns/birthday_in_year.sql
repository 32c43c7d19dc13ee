{% macro birthday_in_year(born_on, year) -%}
    {#- In a year without 29 February, date_add gives the 28th. -#}
    {%- set birthday -%}
        date_add({{ born_on }}, interval {{ year }} - extract(year from {{ born_on }}) year)
    {%- endset -%}
    if(
        {{ sql_text(var('birthday_feb29')) }} = 'MAR_01'
        and extract(day from {{ born_on }}) = 29
        and extract(day from {{ birthday }}) = 28,
        date_add({{ birthday }}, interval 1 day),
        {{ birthday }}
    )
{%- endmacro %}
