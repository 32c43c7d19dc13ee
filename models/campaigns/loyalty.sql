{%- set triggers = [
    trigger(
        'visits within ' ~ var('loyalty_months') ~ ' months',
        'loyalty_visits',
        '>=',
        var('loyalty_min_visits'),
    ),
] -%}

with

customers as (
    select
        *,
        (
            select count(distinct coalesce(past.cycle_key, cast(past.sent_at as string)))
            from unnest(customer_facts.messages) as past
            where
                past.campaign_type = 'LOYALTY'
                and past.is_own
                and past.sent_at < {{ loyalty_window_start() }}
        ) as past_cycles,
        (
            select max({{ local_date('past.sent_at') }})
            from unnest(customer_facts.messages) as past
            where past.campaign_type = 'LOYALTY'
        ) as last_message_on,
        -- The highest tier whose first visit is reached; below all of them, the lowest.
        case
            {% for tier, visits in setting('loyalty_tiers') | dictsort(by='value', reverse=true) -%}
                {%- if not loop.last %}
                    when loyalty_visits >= {{ visits }} then '{{ tier }}'
                {%- else %}
                    when true then '{{ tier }}'
                {%- endif %}
            {%- endfor %}
        end as tier
    from {{ ref('customer_facts') }} as customer_facts
),

final as (
    select
        'LOYALTY' as campaign_type,
        customer_id,
        {{ trigger_list(triggers) }} as triggers,
        concat('R', past_cycles + 1) as cycle_key,
        {{ loyalty_window_start() }} as cycle_start,
        -- The window moves along with the days: a message leaves it as a visit does.
        date_add(
            date_add(last_message_on, interval {{ var('loyalty_months') }} month),
            interval 1 day
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
        {{ blocker_list({}) }} as blockers,
        {{ blocker_facts({}) }} as blocker_facts
    from customers
    where {{ are_met(triggers) }}
)

select * from final
