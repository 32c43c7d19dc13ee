with

customers as (
    {% for campaign in var('campaigns') -%}
        select
            campaign_type,
            customer_id,
            triggers,
            next_cycle_on,
            blocker_facts,
            {{ var(campaign ~ '_holdout_percent') }} as holdout_percent,
            {{ send_hours(campaign) | first }} as send_from_hour,
            {{ next_send_day(campaign) }} as next_send_on,
            {{ is_send_day(local_now().date()) | tojson }} as is_send_day
        from {{ ref(campaign) }}
        {% if not loop.last %}
            union all
        {% endif %}
    {%- endfor %}
),

-- Each year has its own control group, and a customer can also be in the next year's group.
explained as (
    select
        *,
        (
            select min(year)
            from
                unnest(
                    generate_date_array(
                        date_add(date_trunc({{ today() }}, year), interval 1 year),
                        date_add(date_trunc({{ today() }}, year), interval 10 year),
                        interval 1 year
                    )
                ) as year
            where
                not {{ is_held_out('campaign_type', 'customer_id', 'holdout_percent', 'year') }}
        ) as next_not_held_out_on
    from customers
),

decisions as (
    select
        *,
        format_timestamp('%F %H:%M', messaged_at, {{ sql_text(var('timezone')) }}) as messaged_text,
        format_timestamp(
            '%F %H:%M', recently_messaged_at, {{ sql_text(var('timezone')) }}
        ) as recently_messaged_text,
        format_timestamp(
            '%F %H:%M', sales_until, {{ sql_text(var('timezone')) }}
        ) as sales_until_text,
        date_add(
            coalesce({{ local_date('recently_messaged_at') }}, {{ today() }}),
            interval {{ var('frequency_cap_days') }} day
        ) as cap_ends_on
    from {{ ref('campaign_decisions') }}
),

final as (
    select
        explained.campaign_type,
        explained.customer_id,
        explained.triggers,
        decisions.customer_id is not null as is_candidate,
        decisions.cycle_key,
        decisions.blockers,
        array_concat(
            explained.blocker_facts,
            [
                struct(
                    'INVALID_CUSTOMER_ID' as blocker,
                    'the id cannot name a Firestore document' as fact,
                    cast(null as date) as changes_on
                ),
                struct(
                    'INVALID_PHONE',
                    'the phone is not a Brazilian mobile, or too many customers have it',
                    null
                ),
                struct(
                    'OPTED_OUT',
                    'opted out by id, phone or CPF, and did not opt in again',
                    null
                ),
                struct(
                    'ALREADY_MESSAGED',
                    concat('a message of this cycle went out at ', decisions.messaged_text),
                    explained.next_cycle_on
                ),
                struct(
                    'ATTEMPTS_EXHAUSTED',
                    concat(
                        decisions.failed_attempts,
                        ' attempts failed in this cycle',
                        if(
                            decisions.has_final_failure,
                            ', one of them for good',
                            {{ sql_text('; the limit is ' ~ var('max_attempts')) }}
                        )
                    ),
                    explained.next_cycle_on
                ),
                struct(
                    'DUPLICATE_PERSON',
                    'another candidate with the same phone or CPF ranks higher',
                    null
                ),
                struct(
                    'HOLDOUT',
                    'belongs to the control group of this year',
                    explained.next_not_held_out_on
                ),
                struct(
                    'NOT_IN_ROLLOUT',
                    'the campaign is not rolled out to this customer yet',
                    null
                ),
                struct(
                    'STALE_SALES',
                    concat('no sale has arrived since ', decisions.sales_until_text),
                    null
                ),
                struct(
                    'FREQUENCY_CAP',
                    coalesce(
                        concat('a message went out at ', decisions.recently_messaged_text),
                        'another message goes out today'
                    ),
                    decisions.cap_ends_on
                ),
                struct(
                    'OUTSIDE_SEND_WINDOW',
                    concat(
                        format_timestamp(
                            'it is %A %H:%M; messages go out from ',
                            {{ now() }},
                            {{ sql_text(var('timezone')) }}
                        ),
                        explained.send_from_hour,
                        {{ sql_text(':00 to ' ~ var('send_until_hour') ~ ':00') }},
                        {{ sql_text(' on ' ~ var('send_weekdays') | join(', ')) }},
                        if(explained.is_send_day, '', ', and not today')
                    ),
                    explained.next_send_on
                )
            ]
        ) as blocker_facts
    from explained
    left join decisions
        on
            explained.campaign_type = decisions.campaign_type
            and explained.customer_id = decisions.customer_id
)

select * from final
