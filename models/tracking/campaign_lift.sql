with

cycles as (
    select * from {{ ref('target_log') }}
    where is_seen_by_build
),

customers as (
    select
        customer_id,
        cpf
    from {{ ref('customer_facts') }}
    where cpf is not null
),

sales as (
    select
        {{ cpf_of_facts('cpf', 'customers') }} as cpf,
        sold_at
    from {{ ref('stg_sales') }}
    where cpf is not null
),

campaigns as (
    select distinct campaign_type
    from cycles
    where first_held_out_at is not null
),

-- Each customer's group and when it was assigned, whatever happened afterwards.
assignments as (
    select
        campaign_type,
        customer_id,
        first_targeted_at as assigned_at,
        true as is_treated
    from cycles
    -- Leave out customers messaged before a build saw them: no held-out customer is like them.
    where first_targeted_at >= first_seen_at

    union all

    select
        campaign_type,
        customer_id,
        first_held_out_at as assigned_at,
        false as is_treated
    from cycles
    where first_held_out_at is not null
),

-- There is a new control group each year, so everybody counts once a year.
participants as (
    select *
    from assignments
    where true
    qualify
        row_number() over (
            partition by
                campaign_type, customer_id, extract(year from {{ local_date('assigned_at') }})
            order by assigned_at asc, is_treated desc
        ) = 1
),

outcomes as (
    select
        participants.campaign_type,
        participants.customer_id,
        participants.assigned_at,
        participants.is_treated,
        count(sales.sold_at) > 0 as has_converted
    from participants
    left join customers on participants.customer_id = customers.customer_id
    left join sales
        on
            customers.cpf = sales.cpf
            and participants.assigned_at < sales.sold_at
            and {{ conversion_end('participants.assigned_at') }} >= sales.sold_at
    -- Leave out those who still have time to buy.
    where {{ conversion_end('participants.assigned_at') }} <= {{ now() }}
    group by
        participants.campaign_type,
        participants.customer_id,
        participants.assigned_at,
        participants.is_treated
),

counts as (
    select
        campaigns.campaign_type,
        countif(outcomes.is_treated) as treated,
        countif(outcomes.is_treated and outcomes.has_converted) as treated_converted,
        countif(not outcomes.is_treated) as held_out,
        countif(not outcomes.is_treated and outcomes.has_converted) as held_out_converted
    from campaigns
    left join outcomes on campaigns.campaign_type = outcomes.campaign_type
    group by campaigns.campaign_type
),

rates as (
    select
        *,
        safe_divide(treated_converted, treated) as treated_rate,
        safe_divide(held_out_converted, held_out) as held_out_rate,
        {{ wilson_bound('treated_converted', 'treated', '-') }} as treated_low,
        {{ wilson_bound('treated_converted', 'treated', '+') }} as treated_high,
        {{ wilson_bound('held_out_converted', 'held_out', '-') }} as held_out_low,
        {{ wilson_bound('held_out_converted', 'held_out', '+') }} as held_out_high
    from counts
),

-- Newcombe's hybrid score interval for the difference between two rates (method 10).
differences as (
    select
        *,
        treated_rate - held_out_rate as lift,
        treated_rate - held_out_rate - sqrt(
            pow(treated_rate - treated_low, 2) + pow(held_out_high - held_out_rate, 2)
        ) as lift_low,
        treated_rate - held_out_rate + sqrt(
            pow(treated_high - treated_rate, 2) + pow(held_out_rate - held_out_low, 2)
        ) as lift_high
    from rates
),

final as (
    select
        {{ sql_text(var('cnpj')) }} as cnpj,
        campaign_type,
        treated,
        treated_converted,
        held_out,
        held_out_converted,
        treated_rate,
        held_out_rate,
        round(lift, 4) as lift,
        round(lift_low, 4) as lift_low,
        round(lift_high, 4) as lift_high,
        case
            when least(treated, held_out) < 50 then 'TOO_FEW_TO_TELL'
            when lift_low > 0 then 'MORE_PURCHASES'
            when lift_high < 0 then 'FEWER_PURCHASES'
            when (lift_high - lift_low) / 2 > 0.10 then 'TOO_FEW_TO_TELL'
            else 'NO_CLEAR_DIFFERENCE'
        end as verdict
    from differences
)

select * from final
