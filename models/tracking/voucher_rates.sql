with

codes as (
    select
        *,
        sent_on is not null as is_sent
    from {{ ref('voucher_redemptions') }}
),

counts as (
    select
        campaign_type,
        template_variant,
        countif(is_sent) as sent,
        countif(is_sent and redemptions > 0) as redeemed,
        sum(revenue_brl) as revenue_brl
    from codes
    group by campaign_type, template_variant
),

final as (
    select
        {{ sql_text(var('cnpj')) }} as cnpj,
        campaign_type,
        template_variant,
        sent,
        redeemed,
        safe_divide(redeemed, sent) as redemption_rate,
        revenue_brl
    from counts
)

select * from final
