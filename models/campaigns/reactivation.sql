with

customers as (
    select
        *,
        {{ today() }} as today,
        date_diff({{ today() }}, last_purchase_on, day) as days_inactive,
        date_diff({{ today() }}, last_voucher_on, day) as days_since_voucher,
        {{ var('reactivation_start_day') }} as start_day,
        {{ var('reactivation_inactive_days') }} as min_days,
        cast({{ var('reactivation_max_inactive_days') or 'null' }} as int64) as max_days
    from {{ ref('customer_facts') }}
),

days as (
    select
        *,
        -- Not every month has a 31st, but one of two months in a row has.
        (
            select min(day)
            from
                unnest(
                    generate_date_array(
                        date_add(today, interval 1 day), date_add(today, interval 62 day)
                    )
                ) as day
            where (extract(day from day) >= start_day) != (extract(day from today) >= start_day)
        ) as start_day_changes_on
    from customers
),

checked as (
    select
        *,
        [
            struct(
                'day of the month' as fact,
                cast(extract(day from today) as string) as actual,
                concat('at least ', start_day) as needed,
                extract(day from today) >= start_day as is_met,
                start_day_changes_on as changes_on
            ),
            -- A customer who never bought is not inactive.
            struct(
                'number of days since the last purchase' as fact,
                cast(days_inactive as string) as actual,
                concat(
                    'more than ', min_days, coalesce(concat(', at most ', max_days), '')
                ) as needed,
                days_inactive > min_days
                and days_inactive <= coalesce(max_days, days_inactive) as is_met,
                case
                    when days_inactive <= min_days
                        then date_add(last_purchase_on, interval min_days + 1 day)
                    when days_inactive <= max_days
                        then date_add(last_purchase_on, interval max_days + 1 day)
                end as changes_on
            )
        ] as triggers
    from days
),

inactive as (
    select
        *,
        (
            select count(*)
            from unnest(checked.messages) as past
            where
                past.campaign_type = 'REACTIVATION'
                and past.is_own
                and not past.is_failed
                and {{ local_date('past.sent_at') }} > checked.last_purchase_on
        ) as unanswered_messages,
        -- The stage is the number of stages that have begun, since each begins later than the one
        -- before. A customer who is inactive before the first stage begins is in the first, too.
        greatest(
            (
                select count(*)
                from unnest({{ var('reactivation_stage_days') }}) as stage_day
                where checked.days_inactive > stage_day
            ),
            1
        ) as stage
    from checked
    where
        not exists (
            select 1
            from unnest(triggers) as trigger
            where trigger.is_met is not true
        )
        -- `vmhub explain` also asks for the customers who are not candidates.
        or {{ var('with_non_candidates') }}
),

final as (
    select
        'REACTIVATION' as campaign_type,
        customer_id,
        triggers,
        format_date('%Y-%m', today) as cycle_key,
        {{ local_midnight('date_trunc(today, month)') }} as cycle_start,
        date_add(date_trunc(today, month), interval 1 month) as next_cycle_on,
        concat('STAGE_', stage) as template_variant,
        [
            struct('first_name' as name, {{ first_name('name') }} as value),
            struct('days_inactive', cast(days_inactive as string))
        ] as placeholders,
        to_json(
            struct(
                days_inactive as days_inactive,
                last_purchase_on as last_purchase_on,
                stage as stage
            )
        ) as data,
        array_concat(
            if(
                days_since_voucher <= {{ var('reactivation_voucher_cooldown_days') }},
                ['RECENT_VOUCHER'],
                []
            ),
            if(
                unanswered_messages >= {{ var('reactivation_max_unanswered') }},
                ['UNANSWERED_LIMIT'],
                []
            )
        ) as blockers,
        [
            struct(
                'RECENT_VOUCHER' as blocker,
                concat('a voucher was used on ', last_voucher_on) as fact,
                date_add(
                    last_voucher_on,
                    interval {{ var('reactivation_voucher_cooldown_days') }} + 1 day
                ) as changes_on
            ),
            struct(
                'UNANSWERED_LIMIT',
                concat(
                    unanswered_messages,
                    ' reactivation messages since the last purchase; the limit is ',
                    {{ var('reactivation_max_unanswered') }}
                ),
                cast(null as date)
            )
        ] as blocker_facts
    from inactive
)

select * from final
