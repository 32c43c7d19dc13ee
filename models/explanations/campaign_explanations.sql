{%- set next_year = 'date_add(date_trunc(' ~ today() ~ ', year), interval 1 year)' -%}
{%- set cap_days = var('frequency_cap_days') -%}

with

customers as (
    {% for campaign in var('campaigns') -%}
        select
            campaign_type,
            customer_id,
            triggers,
            next_cycle_on,
            blocker_facts,
            '{{ send_window_text(campaign) }}' as send_window,
            {{ next_send_day(campaign) }} as next_send_on
        from {{ ref(campaign) }}
        {% if not loop.last %}
            union all
        {% endif %}
    {%- endfor %}
),

decisions as (
    select * from {{ ref('campaign_decisions') }}
),

final as (
    select
        customers.campaign_type,
        customers.customer_id,
        customers.triggers,
        decisions.customer_id is not null as is_candidate,
        decisions.cycle_key,
        decisions.blockers,
        array_concat(
            customers.blocker_facts,
            {{ blocker_facts({
                'INVALID_CUSTOMER_ID': {
                    'fact': "'the id cannot name a Firestore document'",
                },
                'INVALID_PHONE': {
                    'fact': "'the phone is no Brazilian mobile, or one that too many customers have'",
                },
                'OPTED_OUT': {
                    'fact': "'opted out by id, phone or CPF, and did not resume'",
                },
                'ALREADY_MESSAGED': {
                    'fact':
                        "concat('a message of this cycle went out at ', "
                        ~ local_time_text('decisions.messaged_at') ~ ")",
                    'changes_on': 'customers.next_cycle_on',
                },
                'ATTEMPTS_EXHAUSTED': {
                    'fact':
                        "concat(cast(decisions.failed_attempts as string), "
                        ~ "if(decisions.has_final_failure, "
                        ~ "' failed in this cycle, one of them for good', "
                        ~ "' failed attempts in this cycle, fewer than "
                        ~ var('max_attempts') ~ " needed'))",
                    'changes_on': 'customers.next_cycle_on',
                },
                'DUPLICATE_PERSON': {
                    'fact':
                        "'another candidate with the same phone or CPF ranks higher'",
                },
                'HOLDOUT': {
                    'fact': "'belongs to the control group of this year'",
                    'changes_on': next_year,
                },
                'NOT_IN_ROLLOUT': {
                    'fact': "'the campaign is not rolled out to this customer yet'",
                },
                'STALE_SALES': {
                    'fact':
                        "concat('no sale has arrived since ', "
                        ~ local_time_text('decisions.sales_until') ~ ")",
                },
                'FREQUENCY_CAP': {
                    'fact':
                        "if(decisions.recently_messaged_at is null, "
                        ~ "'another message goes out today', "
                        ~ "concat('a message went out at ', "
                        ~ local_time_text('decisions.recently_messaged_at') ~ "))",
                    'changes_on':
                        'date_add(coalesce('
                        ~ local_date('decisions.recently_messaged_at') ~ ', ' ~ today()
                        ~ '), interval ' ~ cap_days ~ ' day)',
                },
                'OUTSIDE_SEND_WINDOW': {
                    'fact': 'customers.send_window',
                    'changes_on': 'customers.next_send_on',
                },
            }) }}
        ) as blocker_facts
    from customers
    left join decisions
        on
            customers.campaign_type = decisions.campaign_type
            and customers.customer_id = decisions.customer_id
)

select * from final
