-- The gate before campaign_targets: a row here, and nothing is published. One test for all
-- rules, since every query that names a table is billed 10 MiB at least, every hour and CNPJ.
{{ config(tags=['hourly']) }}

with

decisions as (
    select * from {{ ref('campaign_decisions') }}
),

targets as (
    select * from decisions
    where array_length(blockers) = 0
),

violations as (
    select
        'a customer has two decisions in one campaign' as rule,
        campaign_type,
        customer_id
    from decisions
    group by campaign_type, customer_id
    having count(*) > 1

    union all

    select
        'two targets of one campaign share a phone' as rule,
        campaign_type,
        min(customer_id) as customer_id
    from targets
    group by campaign_type, phone
    having count(*) > 1

    union all

    select
        'two targets of one campaign share a cpf' as rule,
        campaign_type,
        min(customer_id) as customer_id
    from targets
    where cpf is not null
    group by campaign_type, cpf
    having count(*) > 1

    union all

    select
        'a target has got its message in this cycle' as rule,
        campaign_type,
        customer_id
    from targets
    where messaged_at is not null

    union all

    -- A person has got it under another id.
    select
        'a target has the cpf of somebody who has got the message in this cycle' as rule,
        campaign_type,
        min(if(array_length(blockers) = 0, customer_id, null)) as customer_id
    from decisions
    where cpf is not null
    group by campaign_type, cpf
    having
        logical_or(array_length(blockers) = 0)
        and logical_or(messaged_at is not null)

    union all

    select
        'a target has used up its attempts in this cycle' as rule,
        campaign_type,
        customer_id
    from targets
    where
        has_final_failure
        or failed_attempts >= {{ var('max_attempts') }}

    union all

    select
        'a target has opted out' as rule,
        campaign_type,
        customer_id
    from targets
    where has_opted_out

    union all

    select
        'a target has no legal id or no phone' as rule,
        campaign_type,
        customer_id
    from targets
    where
        not has_valid_id
        or phone is null

    union all

    -- No template for the campaign and variant, or a placeholder that the campaign does not fill.
    select
        'a candidate has no message' as rule,
        campaign_type,
        customer_id
    from decisions
    where json_value(data, '$.message') is null
)

select * from violations
