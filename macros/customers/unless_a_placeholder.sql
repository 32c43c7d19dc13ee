{% macro unless_a_placeholder(column, most) -%}
    {#- A value that many customers share is what a till writes for those who gave none. -#}
    if(count(*) over (partition by {{ column }}) > {{ most }}, null, {{ column }})
{%- endmacro %}
