with

customers as (
    select * from {{ ref('customer_facts') }}
),

inactive as (
    select
        *,
        date_diff({{ today() }}, last_purchase_on, day) as days_inactive,
        date_diff({{ today() }}, last_voucher_on, day) as days_since_voucher,
        (
            select count(*)
            from unnest(customers.messages) as past
            where
                past.campaign_type = 'REACTIVATION'
                and past.is_own
                and not past.is_failed
                and {{ local_date('past.sent_at') }} > customers.last_purchase_on
        ) as unanswered_messages
    from customers
    where last_purchase_on is not null
),

staged as (
    select
        *,
        -- The stages begin later and later, so the stage is how many have begun.
        (
            select count(*)
            from unnest({{ var('reactivation_stage_days') }}) as stage_day
            where inactive.days_inactive > stage_day
        ) as stage
    from inactive
    where
        extract(day from {{ today() }}) >= {{ var('reactivation_start_day') }}
        and days_inactive > {{ var('reactivation_inactive_days') }}
        and days_inactive
        <= coalesce({{ var('reactivation_max_inactive_days') or 'null' }}, days_inactive)
),

final as (
    select
        'REACTIVATION' as campaign_type,
        customer_id,
        format_date('%Y-%m', {{ today() }}) as cycle_key,
        {{ local_midnight('date_trunc(' ~ today() ~ ', month)') }} as cycle_start,
        -- Who is inactive for the campaign before the first stage begins is in the first.
        concat('STAGE_', greatest(stage, 1)) as template_variant,
        [
            struct('first_name' as name, {{ first_name('name') }} as value),
            struct('days_inactive', cast(days_inactive as string))
        ] as placeholders,
        to_json(
            struct(
                days_inactive as days_inactive,
                last_purchase_on as last_purchase_on,
                greatest(stage, 1) as stage
            )
        ) as data,
        {{ blocker_list({
            'RECENT_VOUCHER':
                'days_since_voucher <= ' ~ var('reactivation_voucher_cooldown_days'),
            'UNANSWERED_LIMIT':
                'unanswered_messages >= ' ~ var('reactivation_max_unanswered'),
        }) }} as blockers
    from staged
)

select * from final
