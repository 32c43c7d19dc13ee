with

customers as (
    select * from {{ ref('customer_facts') }}
),

templates as (
    select * from {{ ref('message_templates') }}
),

candidates as (
    {% for campaign in var('campaigns') -%}
        select
            candidate.campaign_type,
            candidate.customer_id,
            candidate.cycle_key,
            candidate.cycle_start,
            candidate.template_variant,
            candidate.placeholders,
            candidate.data,
            candidate.blockers,
            {{ var(campaign ~ '_rollout_percent') }} as rollout_percent,
            {{ var(campaign ~ '_holdout_percent') }} as holdout_percent,
            {{ voucher_code(campaign) }} as voucher_code,
            {{ var(campaign ~ '_voucher_valid_days') }} as voucher_valid_days,
            {{ is_in_send_window(campaign) }} as is_in_send_window,
            candidate.campaign_type
            in unnest({{ sql_text(var('personal_campaigns')) }}) as is_personal,
            candidate.campaign_type
            in unnest({{ sql_text(var('sales_campaigns')) }}) as needs_sales
        from {{ ref(campaign) }} as candidate
        {% if not loop.last %}
            union all
        {% endif %}
    {%- endfor %}
),

-- Each candidate with the facts that the shared rules need.
facts as (
    select
        candidates.* except (blockers),
        candidates.blockers as own_blockers,
        customers.has_valid_id,
        customers.name,
        customers.phone,
        customers.cpf,
        customers.registered_at,
        customers.has_opted_out,
        customers.sales_until,
        -- When the facts were built. If another build has replaced them meanwhile, sync sees that
        -- these decisions do not belong to one build.
        customers.built_at,
        -- What this campaign sent in this cycle.
        (
            select as struct
                max(
                    if(
                        not message.is_failed
                        and (message.is_own or not candidates.is_personal),
                        message.sent_at,
                        null
                    )
                ) as messaged_at,
                countif(
                    message.is_failed and message.is_own and message.counts_as_attempt
                ) as failed_attempts,
                coalesce(
                    logical_or(
                        message.is_failed
                        and message.is_own
                        and message.counts_as_attempt
                        and not message.is_recoverable
                    ),
                    false
                ) as has_final_failure
            from unnest(customers.messages) as message
            where
                message.campaign_type = candidates.campaign_type
                and message.sent_at >= candidates.cycle_start
        ) as this_cycle,
        (
            select max(message.sent_at)
            from unnest(customers.messages) as message
            where
                not message.is_failed
                and {{ local_date('message.sent_at') }}
                > date_sub({{ today() }}, interval {{ var('frequency_cap_days') }} day)
        ) as recently_messaged_at,
        -- Of two campaigns that can wait, the one with the smaller rank yields. NULL: never yields.
        (
            select position
            from
                unnest({{ sql_text(var('deferrable_campaigns')) }}) as deferrable
                with offset as position
            where deferrable = candidates.campaign_type
        ) as yielding_rank,
        if(
            candidates.voucher_code is null,
            null,
            date_add({{ today() }}, interval candidates.voucher_valid_days day)
        ) as voucher_valid_until,
        -- A hash places each customer between 0 and 99, the same in every run. MOD comes before
        -- ABS, since the smallest INT64 has no absolute value.
        -- When the percentage of a rollout grows, the customers in it stay in it.
        abs(
            mod(
                farm_fingerprint(
                    concat('rollout|', candidates.campaign_type, '|', candidates.customer_id)
                ),
                100
            )
        ) >= candidates.rollout_percent as is_not_in_rollout,
        {{ is_held_out(
            'candidates.campaign_type',
            'candidates.customer_id',
            'candidates.holdout_percent',
            today()
        ) }} as is_held_out
    from candidates
    inner join customers on candidates.customer_id = customers.customer_id
    where candidates.campaign_type in unnest({{ sql_text(var('enabled_campaigns')) }})
),

-- The lower one of two twins is blocked even if the higher one is blocked, too. Otherwise the lower
-- one could be messaged an hour after the higher one.
ranked as (
    select
        * except (this_cycle),
        this_cycle.messaged_at,
        this_cycle.failed_attempts,
        this_cycle.has_final_failure,
        {{ yields_to_twin('phone') }} or {{ yields_to_twin('cpf') }} as has_higher_twin
    from facts
),

checked as (
    select
        *,
        array_concat(
            if(not has_valid_id, ['INVALID_CUSTOMER_ID'], []),
            if(phone is null, ['INVALID_PHONE'], []),
            if(has_opted_out, ['OPTED_OUT'], []),
            if(messaged_at is not null, ['ALREADY_MESSAGED'], []),
            if(
                failed_attempts >= {{ var('max_attempts') }} or has_final_failure,
                ['ATTEMPTS_EXHAUSTED'],
                []
            ),
            own_blockers,
            if(has_higher_twin, ['DUPLICATE_PERSON'], []),
            if(is_held_out, ['HOLDOUT'], []),
            if(is_not_in_rollout, ['NOT_IN_ROLLOUT'], []),
            if(needs_sales and {{ sales_are_stale('sales_until') }}, ['STALE_SALES'], [])
        ) as blockers_but_time
    from ranked
),

-- Campaigns that can wait yield to a message to the same phone that went out, or that goes out
-- later today. A candidate who is capped by a recent message caps nobody.
capped as (
    select
        *,
        yielding_rank is not null
        and {{ var('frequency_cap_days') }} > 0
        and (
            recently_messaged_at is not null
            or coalesce(
                max(
                    case
                        when array_length(blockers_but_time) > 0 then null
                        when yielding_rank is null then {{ var('deferrable_campaigns') | length }}
                        when recently_messaged_at is null then yielding_rank
                    end
                ) over (partition by phone) > yielding_rank,
                false
            )
        ) as is_capped
    from checked
),

blocked as (
    select
        *,
        array_concat(
            blockers_but_time,
            if(is_capped, ['FREQUENCY_CAP'], []),
            if(is_in_send_window, [], ['OUTSIDE_SEND_WINDOW'])
        ) as blockers,
        array(
            -- WhatsApp refuses a parameter that is empty, or with line breaks, tabs or five spaces.
            select as struct
                placeholder.name,
                nullif(
                    trim(regexp_replace(placeholder.value, r'[\s\p{Z}\p{Cc}]+', ' ')), ''
                ) as value
            from
                unnest(
                    array_concat(
                        placeholders,
                        [
                            struct('voucher_code' as name, voucher_code as value),
                            struct(
                                'voucher_valid_until',
                                format_date('%d/%m/%Y', voucher_valid_until)
                            )
                        ]
                    )
                ) as placeholder
        ) as all_placeholders
    from capped
),

final as (
    select
        {{ sql_text(var('cnpj')) }} as cnpj,
        blocked.campaign_type,
        blocked.customer_id,
        blocked.cycle_key,
        blocked.cycle_start,
        blocked.blockers,
        blocked.blockers[safe_offset(0)] as first_blocker,
        blocked.name,
        blocked.phone,
        blocked.cpf,
        blocked.has_valid_id,
        blocked.registered_at,
        blocked.has_opted_out,
        blocked.messaged_at,
        blocked.failed_attempts,
        blocked.has_final_failure,
        blocked.has_higher_twin,
        blocked.recently_messaged_at,
        blocked.sales_until,
        blocked.template_variant,
        templates.template_name,
        {{ with_fields('blocked.data', {
            'message': render_text('templates.body', 'blocked.all_placeholders'),
            'template': template('templates', 'blocked.all_placeholders'),
            'template_variant': 'blocked.template_variant',
            'voucher_code': 'blocked.voucher_code',
            'voucher_valid_until': 'blocked.voucher_valid_until',
        }) }} as data,
        blocked.built_at
    from blocked
    left join templates
        on
            blocked.campaign_type = templates.campaign_type
            and blocked.template_variant = templates.variant
)

select * from final
