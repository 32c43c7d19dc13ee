with

customers as (
    select * from {{ ref('customer_facts') }}
),

final as (
    select
        'WELCOME' as campaign_type,
        customer_id,
        'ONCE' as cycle_key,
        -- Once ever: every message since the beginning of time counts.
        timestamp '0001-01-01 00:00:00+00:00' as cycle_start,
        'DEFAULT' as template_variant,
        [
            struct('first_name' as name, {{ first_name('name') }} as value)
        ] as placeholders,
        to_json(
            struct(
                registered_on as registered_on,
                first_purchase_at is null as is_new_customer
            )
        ) as data,
        array<string>[] as blockers
    from customers
    where
        date_diff({{ today() }}, registered_on, day)
        between {{ var('welcome_delay_days') }}
        and {{ var('welcome_delay_days') + var('welcome_catch_up_days') }}
)

select * from final
