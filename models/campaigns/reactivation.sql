{%- set triggers = [
    trigger(
        'day of the month',
        'extract(day from ' ~ today() ~ ')',
        '>=',
        setting('reactivation_start_day'),
        changes_on=next_day_of_month(setting('reactivation_start_day')),
    ),
    days_since_trigger(
        'the last purchase', 'last_purchase_on', '>', setting('reactivation_inactive_days')
    ),
] -%}
{%- if var('reactivation_max_inactive_days') -%}
    {%- do triggers.append(days_since_trigger(
        'the last purchase',
        'last_purchase_on',
        '<=',
        setting('reactivation_max_inactive_days'),
    )) -%}
{%- endif -%}

with

customers as (
    select * from {{ ref('customer_facts') }}
),

inactive as (
    select
        *,
        date_diff({{ today() }}, last_purchase_on, day) as days_inactive,
        date_diff({{ today() }}, last_voucher_on, day) as days_since_voucher,
        (
            select count(*)
            from unnest(customers.messages) as past
            where
                past.campaign_type = 'REACTIVATION'
                and past.is_own
                and not past.is_failed
                and {{ local_date('past.sent_at') }} > customers.last_purchase_on
        ) as unanswered_messages
    from customers
    where {{ are_met(triggers) }}
),

staged as (
    select
        *,
        -- The stages begin later and later, so the stage is how many have begun; who is inactive
        -- for the campaign before the first stage begins is in the first.
        greatest(
            (
                select count(*)
                from unnest({{ var('reactivation_stage_days') }}) as stage_day
                where inactive.days_inactive > stage_day
            ),
            1
        ) as stage
    from inactive
),

final as (
    select
        'REACTIVATION' as campaign_type,
        customer_id,
        {{ trigger_list(triggers) }} as triggers,
        format_date('%Y-%m', {{ today() }}) as cycle_key,
        {{ local_midnight('date_trunc(' ~ today() ~ ', month)') }} as cycle_start,
        date_add(date_trunc({{ today() }}, month), interval 1 month) as next_cycle_on,
        concat('STAGE_', stage) as template_variant,
        [
            struct('first_name' as name, {{ first_name('name') }} as value),
            struct('days_inactive', cast(days_inactive as string))
        ] as placeholders,
        to_json(
            struct(
                days_inactive as days_inactive,
                last_purchase_on as last_purchase_on,
                stage as stage
            )
        ) as data,
        {{ blocker_list({
            'RECENT_VOUCHER':
                'days_since_voucher <= ' ~ var('reactivation_voucher_cooldown_days'),
            'UNANSWERED_LIMIT':
                'unanswered_messages >= ' ~ var('reactivation_max_unanswered'),
        }) }} as blockers,
        {{ blocker_facts({
            'RECENT_VOUCHER': {
                'fact': "concat('a voucher was used on ', cast(last_voucher_on as string))",
                'changes_on':
                    'date_add(last_voucher_on, interval '
                    ~ (setting('reactivation_voucher_cooldown_days') + 1) ~ ' day)',
            },
            'UNANSWERED_LIMIT': {
                'fact':
                    "concat(cast(unanswered_messages as string), ' messages since the last "
                    ~ "purchase, fewer than " ~ var('reactivation_max_unanswered') ~ " needed')",
            },
        }) }} as blocker_facts
    from staged
)

select * from final
