with

decisions as (
    select * from {{ ref('campaign_decisions') }}
),

final as (
    select
        cnpj,
        campaign_type,
        customer_id,
        name,
        phone,
        data,
        cycle_key,
        cycle_start,
        -- A target is permission to send today; tomorrow's run renews it.
        {{ send_window_end() }} as expires_at,
        built_at
    from decisions
    where array_length(blockers) = 0
)

select * from final
