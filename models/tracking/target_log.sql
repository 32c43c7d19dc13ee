{{ config(
    materialized='incremental',
    unique_key=['campaign_type', 'customer_id', 'cycle_key'],
    full_refresh=false,
) }}

with

candidates as (
    select
        campaign_type,
        customer_id,
        cycle_key,
        template_variant,
        json_value(data, '$.voucher_code') as voucher_code,
        built_at,
        first_blocker,
        array_length(blockers) = 0 as is_target,
        array_length(blockers) = 1 and first_blocker = 'HOLDOUT' as is_held_out
    from {{ ref('campaign_decisions') }}
),

attempts as (
    select * from {{ ref('stg_messages') }}
    where {{ is_counted_anew('sent_at') }}
),

-- Everything that is known about each cycle. If the sources differ, the one with the smallest
-- precedence wins.
sightings as (
    select
        campaign_type,
        customer_id,
        cycle_key,
        template_variant,
        voucher_code,
        built_at as first_seen_at,
        if(is_target, built_at, null) as first_targeted_at,
        if(is_held_out, built_at, null) as first_held_out_at,
        built_at as last_seen_at,
        first_blocker as last_blocker,
        -- A text that was sent counts more than one that fits now.
        if(is_target, 1, 3) as precedence,
        true as is_news
    from candidates

    union all

    select
        campaign_type,
        customer_id,
        message_key as cycle_key,
        coalesce(template_variant, 'UNKNOWN') as template_variant,
        voucher_code,
        cast(null as timestamp) as first_seen_at,
        -- Failed attempts count, too: the customer was meant to get the message.
        sent_at as first_targeted_at,
        cast(null as timestamp) as first_held_out_at,
        cast(null as timestamp) as last_seen_at,
        cast(null as string) as last_blocker,
        2 as precedence,
        true as is_news
    from attempts

    {% if is_incremental() %}
        union all

        select
            campaign_type,
            customer_id,
            cycle_key,
            template_variant,
            voucher_code,
            first_seen_at,
            first_targeted_at,
            first_held_out_at,
            last_seen_at,
            last_blocker,
            -- The text of a cycle that was counted as a target or as held out does not change.
            if(coalesce(first_targeted_at, first_held_out_at) is null, 4, 0) as precedence,
            false as is_news
        from {{ this }}
    {% endif %}
),

cycles as (
    select
        campaign_type,
        customer_id,
        cycle_key,
        array_agg(
            template_variant order by precedence, first_targeted_at, template_variant limit 1
        )[safe_offset(0)] as template_variant,
        -- ORDER BY only: bqemulator 1.4.0 does not accept IGNORE NULLS before it.
        array_agg(
            voucher_code
            order by voucher_code is null, precedence, first_targeted_at, voucher_code
            limit 1
        )[safe_offset(0)] as voucher_code,
        min(first_seen_at) as first_seen_at,
        min(first_targeted_at) as first_targeted_at,
        min(first_held_out_at) as first_held_out_at,
        max(last_seen_at) as last_seen_at,
        array_agg(
            last_blocker order by last_seen_at desc, is_news desc limit 1
        )[safe_offset(0)] as last_blocker
    from sightings
    group by campaign_type, customer_id, cycle_key
    -- Cycles without news are not written again.
    having logical_or(is_news)
),

final as (
    select
        {{ sql_text(var('cnpj')) }} as cnpj,
        campaign_type,
        customer_id,
        cycle_key,
        template_variant,
        voucher_code,
        first_seen_at,
        {{ local_date('first_seen_at') }} as first_seen_on,
        first_targeted_at,
        {{ local_date('first_targeted_at') }} as first_targeted_on,
        first_seen_at is not null as is_seen_by_build,
        first_held_out_at,
        {{ local_date('first_held_out_at') }} as first_held_out_on,
        last_seen_at,
        last_blocker
    from cycles
)

select * from final
