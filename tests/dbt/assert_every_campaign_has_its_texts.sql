-- Checks every text that a candidate may ever need; the gate only sees the texts that are missing
-- today.
with

needed as (
    select
        upper(campaign) as campaign_type,
        cast(null as string) as variant
    from unnest({{ sql_text(var('campaigns')) }}) as campaign

    union all

    select
        'REACTIVATION' as campaign_type,
        concat('STAGE_', position + 1) as variant
    from unnest({{ var('reactivation_stage_days') }}) as day with offset as position

    union all

    select
        'LOYALTY' as campaign_type,
        tier as variant
    from unnest({{ sql_text(var('loyalty_tiers') | list) }}) as tier
),

final as (
    select
        needed.campaign_type,
        needed.variant
    from needed
    left join {{ ref('message_templates') }} as templates
        on
            needed.campaign_type = templates.campaign_type
            and coalesce(needed.variant, templates.variant) = templates.variant
    where templates.campaign_type is null
)

select * from final
