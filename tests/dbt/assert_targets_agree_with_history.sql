-- The same promise as the gate, worked out from the raw history without our staging: what it finds
-- is a mistake in the models themselves. Not hourly: it would cost two more tables a run.
with

targets as (
    select
        *,
        regexp_extract(phone, r'\d{8}$') as phone_ending
    from {{ ref('campaign_decisions') }}
    where array_length(blockers) = 0
),

history as (
    select
        user_id,
        trim(upper(campaign_type)) as campaign_type,
        sent_at,
        regexp_extract(regexp_replace(phone, r'\D', ''), r'\d{8}$') as phone_ending,
        regexp_extract(
            regexp_replace(phone, r'\D', ''), r'^(?:0{2})?(?:55)?(\d{2})\d{8,9}$'
        ) as area_code
    from {{ source('campaign', 'message_history') }}
    where
        sent_at <= {{ now() }}
        and trim(upper(coalesce(status, ''))) != 'FAILED'
),

final as (
    select
        targets.campaign_type,
        targets.customer_id,
        history.sent_at
    from targets
    inner join history on targets.campaign_type = history.campaign_type
    where
        history.sent_at between targets.cycle_start and targets.built_at
        and (
            targets.customer_id = history.user_id
            or (
                targets.campaign_type
                not in unnest({{ sql_text(var('personal_campaigns')) }})
                and targets.phone_ending = history.phone_ending
                and substr(targets.phone, 4, 2) = history.area_code
            )
        )
)

select * from final
