with

customers as (
    select
        *,
        {{ today() }} as today,
        date_diff({{ today() }}, registered_on, day) as days_registered,
        {{ var('welcome_delay_days') }} as first_day,
        {{ var('welcome_delay_days') }} + {{ var('welcome_catch_up_days') }} as last_day
    from {{ ref('customer_facts') }}
),

checked as (
    select
        *,
        [
            struct(
                'number of days since registration' as fact,
                cast(days_registered as string) as actual,
                concat('at least ', first_day) as needed,
                days_registered >= first_day as is_met,
                if(
                    days_registered < first_day,
                    date_add(registered_on, interval first_day day),
                    null
                ) as changes_on
            ),
            struct(
                'number of days since registration' as fact,
                cast(days_registered as string) as actual,
                concat('at most ', last_day) as needed,
                days_registered <= last_day as is_met,
                if(
                    days_registered <= last_day,
                    date_add(registered_on, interval last_day + 1 day),
                    null
                ) as changes_on
            )
        ] as triggers
    from customers
),

final as (
    select
        'WELCOME' as campaign_type,
        customer_id,
        triggers,
        'ONCE' as cycle_key,
        -- Only once ever: all earlier messages count, however old.
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
        array<string>[] as blockers,
        array<struct<blocker string, fact string, changes_on date>>[] as blocker_facts
    from checked
    where
        not exists (
            select 1
            from unnest(triggers) as trigger
            where trigger.is_met is not true
        )
        -- `vmhub explain` also asks for the customers who are not candidates.
        or {{ var('with_non_candidates') }}
)

select * from final
