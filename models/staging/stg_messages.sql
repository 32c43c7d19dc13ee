with

source as (
    select * from {{ source('campaign', 'message_history') }}
    where
        sent_at <= {{ now() }}
        and trim(coalesce(user_id, '')) != ''
        and trim(coalesce(campaign_type, '')) != ''
),

final as (
    select
        user_id as customer_id,
        {{ normalize_phone('phone') }} as phone,
        upper(trim(campaign_type)) as campaign_type,
        cycle_key,
        sent_at,
        -- Whatever is not known to have failed may have reached the customer.
        coalesce(upper(trim(status)) = 'FAILED', false) as is_failed,
        coalesce(recoverable, true) as is_recoverable
    from source
)

select * from final
