with

customers as (
    select * from {{ ref('customer_facts') }}
),

loyal as (
    select
        *,
        (
            select count(distinct coalesce(past.cycle_key, cast(past.sent_at as string)))
            from unnest(customers.messages) as past
            where
                past.campaign_type = 'LOYALTY'
                and past.is_own
                and past.sent_at < {{ loyalty_window_start() }}
        ) as past_cycles,
        -- The highest tier whose first visit is reached; below all of them, the lowest.
        case
            {% for tier, visits in var('loyalty_tiers') | dictsort(by='value', reverse=true) -%}
                {%- if not loop.last %}
                    when loyalty_visits >= {{ visits }} then '{{ tier }}'
                {%- else %}
                    when true then '{{ tier }}'
                {%- endif %}
            {%- endfor %}
        end as tier
    from customers
    where loyalty_visits >= {{ var('loyalty_min_visits') }}
),

final as (
    select
        'LOYALTY' as campaign_type,
        customer_id,
        concat('R', past_cycles + 1) as cycle_key,
        {{ loyalty_window_start() }} as cycle_start,
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
        array<string>[] as blockers
    from loyal
)

select * from final
