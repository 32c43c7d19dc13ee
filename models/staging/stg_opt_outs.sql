with

source as (
    select * from {{ source('campaign', 'opt_outs') }}
),

final as (
    select
        -- As it stands, like everywhere else: an id is compared, not read.
        if(trim(user_id) = '', null, user_id) as customer_id,
        {{ normalize_phone('phone') }} as phone
    from source
    where
        -- Without an instant, the wish holds since always.
        coalesce(opted_out_at <= {{ now() }}, true)
        and (
            resumed_at is null
            or resumed_at > {{ now() }}
            or resumed_at < opted_out_at
        )
)

select * from final
