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
            {{ campaign_setting(campaign, 'rollout_percent') }} as rollout_percent,
            {{ campaign_setting(campaign, 'holdout_percent') }} as holdout_percent,
            {{ voucher_code(campaign) }} as voucher_code,
            {{ voucher_valid_until(campaign) }} as voucher_valid_until,
            {{ is_in_send_window(campaign) }} as is_in_send_window,
            {{ tojson(campaign | upper in var('personal_campaigns')) }} as is_personal,
            {{ tojson(campaign | upper in var('sales_campaigns')) }} as needs_sales,
            {{ yielding_rank(campaign) }} as yielding_rank
        from {{ ref(campaign) }} as candidate
        {% if not loop.last %}
            union all
        {% endif %}
    {%- endfor %}
),

-- Each candidate with the facts that the shared rules ask for.
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
        -- Of the facts: if another build replaced them meanwhile, sync sees that these decisions
        -- are not of one build.
        customers.built_at,
        (
            select max(message.sent_at)
            from unnest(customers.messages) as message
            where
                message.campaign_type = candidates.campaign_type
                and message.sent_at >= candidates.cycle_start
                and not message.is_failed
                and (message.is_own or not candidates.is_personal)
        ) as messaged_at,
        (
            select count(*)
            from unnest(customers.messages) as message
            where
                message.campaign_type = candidates.campaign_type
                and message.sent_at >= candidates.cycle_start
                and message.is_failed
                and message.is_own
        ) as failed_attempts,
        exists(
            select 1
            from unnest(customers.messages) as message
            where
                message.campaign_type = candidates.campaign_type
                and message.sent_at >= candidates.cycle_start
                and message.is_failed
                and message.is_own
                and not message.is_recoverable
        ) as has_final_failure,
        (
            select max(message.sent_at)
            from unnest(customers.messages) as message
            where
                message.sent_at >= {{ frequency_cap_start() }}
                and not message.is_failed
        ) as recently_messaged_at,
        -- Who is in stays in as the percentage grows.
        {{ stable_percentile(
            ["'rollout'", 'candidates.campaign_type', 'candidates.customer_id']
        ) }} >= candidates.rollout_percent as is_not_in_rollout,
        -- Who is held out stays out for the year, so that the group can be compared.
        {{ stable_percentile([
            "'holdout'",
            'candidates.campaign_type',
            'candidates.customer_id',
            "'" ~ local_now().year ~ "'",
        ]) }} < candidates.holdout_percent as is_held_out
    from candidates
    inner join customers on candidates.customer_id = customers.customer_id
    where candidates.campaign_type in unnest(array<string>{{ var('enabled_campaigns') }})
),

-- A twin yields to one who ranks higher whatever that one's other blockers, so that it is not
-- messaged an hour after the other was.
ranked as (
    select
        *,
        {{ yields_to_twin('phone') }} or {{ yields_to_twin('cpf') }} as has_higher_twin
    from facts
),

unhindered as (
    select
        *,
        array_concat(
            {{ blocker_list({
                'INVALID_CUSTOMER_ID': 'not has_valid_id',
                'INVALID_PHONE': 'phone is null',
                'OPTED_OUT': 'has_opted_out',
                'ALREADY_MESSAGED': 'messaged_at is not null',
                'ATTEMPTS_EXHAUSTED':
                    'failed_attempts >= ' ~ var('max_attempts') ~ ' or has_final_failure',
            }) }},
            own_blockers,
            {{ blocker_list({
                'DUPLICATE_PERSON': 'has_higher_twin',
                'HOLDOUT': 'is_held_out',
                'NOT_IN_ROLLOUT': 'is_not_in_rollout',
                'STALE_SALES': 'needs_sales and ' ~ sales_are_stale('sales_until'),
            }) }}
        ) as blockers_but_time
    from ranked
),

-- Campaigns that can wait yield to a message that went out, or that goes out today, if only later,
-- to the same phone. Nobody yields to what a recent message keeps back.
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
    from unhindered
),

blocked as (
    select
        *,
        array_concat(
            blockers_but_time,
            {{ blocker_list({
                'FREQUENCY_CAP': 'is_capped',
                'OUTSIDE_SEND_WINDOW': 'not is_in_send_window',
            }) }}
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
        '{{ var("cnpj") }}' as cnpj,
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
            'message': render('templates.body', 'blocked.all_placeholders'),
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
