{%- set first_day = setting('welcome_delay_days') -%}
{%- set last_day = first_day + setting('welcome_catch_up_days') -%}
{%- set triggers = [
    days_since_trigger('registration', 'registered_on', '>=', first_day),
    days_since_trigger('registration', 'registered_on', '<=', last_day),
] -%}

with

customers as (
    select * from {{ ref('customer_facts') }}
),

final as (
    select
        'WELCOME' as campaign_type,
        customer_id,
        {{ trigger_list(triggers) }} as triggers,
        'ONCE' as cycle_key,
        -- Once ever: every message since the beginning of time counts.
        timestamp '0001-01-01 00:00:00+00:00' as cycle_start,
        cast(null as date) as next_cycle_on,
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
        {{ blocker_list({}) }} as blockers,
        {{ blocker_facts({}) }} as blocker_facts
    from customers
    where {{ are_met(triggers) }}
)

select * from final
