with

customers as (
    select * from {{ ref('customer_facts') }}
),

checked as (
    select
        *,
        [
            struct(
                concat('number of visits within ', {{ var('loyalty_months') }}, ' months') as fact,
                cast(loyalty_visits as string) as actual,
                concat('at least ', {{ var('loyalty_min_visits') }}) as needed,
                loyalty_visits >= {{ var('loyalty_min_visits') }} as is_met,
                -- Time alone never changes this, only another visit does.
                cast(null as date) as changes_on
            )
        ] as triggers
    from customers
),

loyal as (
    select
        *,
        (
            select count(distinct coalesce(past.cycle_key, cast(past.sent_at as string)))
            from unnest(checked.messages) as past
            where
                past.campaign_type = 'LOYALTY'
                and past.is_own
                and past.sent_at < {{ loyalty_window_start() }}
        ) as past_cycles,
        (
            select max({{ local_date('past.sent_at') }})
            from unnest(checked.messages) as past
            where
                past.campaign_type = 'LOYALTY'
                and not past.is_failed
                and past.sent_at >= {{ loyalty_window_start() }}
        ) as messaged_on,
        -- Too many failed attempts block until enough of them have left the window, …
        array(
            select {{ local_date('past.sent_at') }}
            from unnest(checked.messages) as past
            where
                past.campaign_type = 'LOYALTY'
                and past.is_own
                and past.is_failed
                and past.sent_at >= {{ loyalty_window_start() }}
            order by past.sent_at desc
        )[safe_offset({{ var('max_attempts') - 1 }})] as exhausted_on,
        -- … and a final failure blocks until it has left the window.
        (
            select max({{ local_date('past.sent_at') }})
            from unnest(checked.messages) as past
            where
                past.campaign_type = 'LOYALTY'
                and past.is_own
                and past.is_failed
                and not past.is_recoverable
                and past.sent_at >= {{ loyalty_window_start() }}
        ) as failed_for_good_on,
        -- The highest tier that the customer has reached, or the lowest tier if none.
        (
            select tier.name
            from unnest({{ loyalty_tiers() }}) as tier
            order by
                tier.visits <= checked.loyalty_visits desc,
                abs(tier.visits - checked.loyalty_visits)
            limit 1
        ) as tier
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

-- The day on which the block ends; NULL if a message and failed attempts end on different days.
lasting as (
    select
        *,
        (
            select if(min(day) = max(day), min(day), null)
            from
                unnest([
                    messaged_on,
                    greatest(
                        coalesce(exhausted_on, failed_for_good_on),
                        coalesce(failed_for_good_on, exhausted_on)
                    )
                ]) as day
        ) as blocked_on
    from loyal
),

final as (
    select
        'LOYALTY' as campaign_type,
        customer_id,
        triggers,
        concat('R', past_cycles + 1) as cycle_key,
        {{ loyalty_window_start() }} as cycle_start,
        -- The first day whose window begins after the message. Months differ in length, so this
        -- can be up to four days later than the same day of the month.
        (
            select min(day)
            from
                unnest(
                    generate_date_array(
                        date_add(blocked_on, interval {{ var('loyalty_months') }} month),
                        date_add(
                            date_add(blocked_on, interval {{ var('loyalty_months') }} month),
                            interval 4 day
                        )
                    )
                ) as day
            where date_sub(day, interval {{ var('loyalty_months') }} month) > blocked_on
        ) as next_cycle_on,
        tier as template_variant,
        [
            struct('first_name' as name, {{ first_name('name') }} as value),
            struct('visit_count', cast(loyalty_visits as string))
        ] as placeholders,
        to_json(
            struct(
                loyalty_visits as visit_count,
                cast(loyalty_spent_brl as float64) as total_spent,
                tier as tier
            )
        ) as data,
        array<string>[] as blockers,
        array<struct<blocker string, fact string, changes_on date>>[] as blocker_facts
    from lasting
)

select * from final
