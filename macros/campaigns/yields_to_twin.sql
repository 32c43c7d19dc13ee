{% macro yields_to_twin(shared_column) -%}
    coalesce(
        {{ shared_column }} is not null
        and logical_or(has_valid_id and phone is not null) over (
            partition by campaign_type, {{ shared_column }}
            order by registered_at desc, customer_id
            rows between unbounded preceding and 1 preceding
        ),
        false
    )
{%- endmacro %}
