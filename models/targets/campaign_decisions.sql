with

customers as (
    select * from {{ ref('customer_facts') }}
),

templates as (
    select * from {{ ref('message_templates') }}
),

candidates as (
    {% for campaign in var('campaigns') -%}
        select * from {{ ref(campaign) }}
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
        (
            select max(message.sent_at)
            from unnest(customers.messages) as message
            where
                message.campaign_type = candidates.campaign_type
                and message.sent_at >= candidates.cycle_start
                and not message.is_failed
                -- A family may share a phone and still have a birthday each.
                and (message.is_own or candidates.campaign_type != 'BIRTHDAY')
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
        ) as has_final_failure
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

blocked as (
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
                'OUTSIDE_SEND_WINDOW': 'not ' ~ is_in_send_window(),
            }) }}
        ) as blockers
    from ranked
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
        blocked.template_variant,
        templates.template_name,
        {{ with_fields('blocked.data', {
            'message': render('templates.body', 'blocked.placeholders'),
            'template': template('templates', 'blocked.placeholders'),
            'voucher_code': 'cast(null as string)',
        }) }} as data,
        {{ now() }} as built_at
    from blocked
    left join templates
        on
            blocked.campaign_type = templates.campaign_type
            and blocked.template_variant = templates.variant
)

select * from final
