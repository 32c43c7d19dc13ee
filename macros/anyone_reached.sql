{% macro anyone_reached(condition) -%}
    {#- The same customer, or somebody with the same phone. -#}
    (
        coalesce(logical_or({{ condition }}) over (partition by customer_id), false)
        or (
            phone is not null
            and coalesce(logical_or({{ condition }}) over (partition by phone), false)
        )
    )
{%- endmacro %}
