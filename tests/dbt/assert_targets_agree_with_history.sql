-- The same promise as the gate, worked out from the raw history without our staging: what it finds
-- is a mistake in the models themselves. Not hourly: it would cost three more tables a run.
with

targets as (
    select
        decisions.*,
        facts.born_on,
        regexp_extract(decisions.phone, r'\d{8}$') as phone_ending
    from {{ ref('campaign_decisions') }} as decisions
    inner join {{ ref('customer_facts') }} as facts
        on decisions.customer_id = facts.customer_id
    where array_length(decisions.blockers) = 0
),

-- Ids of one row only: which of several counts is for the models to say.
recipients as (
    select
        id,
        date(max(dataNascimento)) as born_on,
        regexp_replace(
            regexp_extract(max(cpf), r'^\s*(\d{3}\.?\d{3}\.?\d{3}-?\d{2})\s*$'), r'\D', ''
        ) as cpf
    from {{ source('raw', 'clientes') }}
    group by id
    having count(*) = 1
),

history as (
    select
        messages.user_id,
        trim(upper(messages.campaign_type)) as campaign_type,
        messages.sent_at,
        recipients.cpf,
        recipients.born_on,
        regexp_extract(regexp_replace(messages.phone, r'\D', ''), r'\d{8}$') as phone_ending,
        regexp_extract(
            regexp_replace(messages.phone, r'\D', ''), r'^(?:0{2})?(?:55)?(\d{2})\d{8,9}$'
        ) as area_code
    from {{ source('campaign', 'message_history') }} as messages
    left join recipients on messages.user_id = recipients.id
    where
        messages.sent_at <= {{ now() }}
        and trim(upper(coalesce(messages.status, ''))) != 'FAILED'
),

final as (
    select distinct
        targets.campaign_type,
        targets.customer_id,
        history.sent_at
    from targets
    inner join history on targets.campaign_type = history.campaign_type
    where
        history.sent_at between targets.cycle_start and targets.built_at
        and (
            targets.customer_id = history.user_id
            or targets.cpf = history.cpf
            or (
                targets.phone_ending = history.phone_ending
                and substr(targets.phone, 4, 2) = history.area_code
                and (
                    targets.born_on = history.born_on
                    or targets.campaign_type
                    not in unnest({{ sql_text(var('personal_campaigns')) }})
                )
            )
        )
)

select * from final
