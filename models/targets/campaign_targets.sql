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
        -- The end of today's send window: a target is permission to send today, and tomorrow's run
        -- renews it. Hour 24 is midnight, which TIME cannot say, so hours are added to the day.
        timestamp(
            datetime_add(datetime({{ today() }}), interval {{ var('send_until_hour') }} hour),
            {{ sql_text(var('timezone')) }}
        ) as expires_at,
        built_at
    from decisions
    where array_length(blockers) = 0
)

select * from final
