{% macro birthday_in_year(born_on, day) -%}
    {#- Adding years to 29 February gives 28 February where there is no 29th. -#}
    {%- set years = "extract(year from " ~ day ~ ") - extract(year from " ~ born_on ~ ")" -%}
    {%- set birthday = "date_add(" ~ born_on ~ ", interval " ~ years ~ " year)" -%}
    {%- if var("birthday_feb29") == "MAR_01" -%}
        if(
            extract(day from {{ born_on }}) = 29
            and extract(day from {{ birthday }}) = 28,
            date_add({{ birthday }}, interval 1 day),
            {{ birthday }}
        )
    {%- else -%} {{ birthday }}
    {%- endif -%}
{%- endmacro %}
