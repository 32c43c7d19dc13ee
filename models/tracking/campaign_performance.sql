{{ config(
    materialized='incremental',
    unique_key=['campaign_type', 'template_variant', 'business_date'],
    partition_by={'field': 'business_date', 'data_type': 'date', 'granularity': 'month'},
    on_schema_change='append_new_columns',
) }}

with

attempts as (
    select * from {{ ref('stg_messages') }}
    where
        status != 'PENDING'
        and {{ is_counted_anew('sent_at') }}
),

cycles as (
    select
        *,
        -- A customer who was messaged before a build saw them was a candidate on that day.
        -- (least() would be NULL if one of the two is.)
        (
            select min(day)
            from unnest([first_seen_on, first_targeted_on]) as day
        ) as first_candidate_on
    from {{ ref('target_log') }}
),

error_classes as (
    select * from {{ ref('whatsapp_error_classes') }}
),

-- Each price is valid until the next one; the first is also valid before its day.
prices as (
    select
        category,
        safe_cast(price_brl as numeric) as price_brl,
        if(
            row_number() over (partition by category order by valid_from) = 1,
            date '0001-01-01',
            valid_from
        ) as first_on,
        coalesce(
            lead(valid_from) over (partition by category order by valid_from),
            date '9999-12-31'
        ) as until_on
    from {{ ref('whatsapp_prices') }}
),

-- One row per counted event, on its day.
events as (
    select
        attempts.campaign_type,
        coalesce(attempts.template_variant, 'UNKNOWN') as template_variant,
        attempts.sent_on as business_date,
        'ATTEMPT' as event,
        attempts.is_sent,
        attempts.is_delivered,
        attempts.is_read,
        attempts.is_replied,
        if(attempts.is_failed, coalesce(error_classes.class, 'unknown'), null) as error_class,
        -- WhatsApp charges what was delivered, not what was sent.
        attempts.is_delivered and attempts.is_billable as is_billed,
        attempts.is_delivered
        and coalesce(attempts.is_billable and prices.price_brl is null, true) as is_unpriced,
        if(attempts.is_delivered and attempts.is_billable, prices.price_brl, null) as cost_brl
    from attempts
    left join error_classes on attempts.error_code = error_classes.code
    left join prices
        on
            attempts.price_category = prices.category
            and attempts.sent_on >= prices.first_on
            and attempts.sent_on < prices.until_on

    union all

    select
        cycles.campaign_type,
        cycles.template_variant,
        day.business_date,
        day.event,
        false as is_sent,
        false as is_delivered,
        false as is_read,
        false as is_replied,
        cast(null as string) as error_class,
        false as is_billed,
        false as is_unpriced,
        cast(null as numeric) as cost_brl
    from cycles
    cross join
        unnest([
            struct('CANDIDATE' as event, cycles.first_candidate_on as business_date),
            struct('HELD_OUT', cycles.first_held_out_on),
            struct('TARGET', cycles.first_targeted_on)
        ]) as day
    where
        day.business_date is not null
        and {{ is_counted_anew(local_midnight('day.business_date')) }}

    {% if is_incremental() %}
        union all

        -- Rows of earlier builds. They become 0 if their events now belong to another day or text,
        -- since MERGE deletes no row.
        select
            campaign_type,
            template_variant,
            business_date,
            'COUNTED_BEFORE' as event,
            false as is_sent,
            false as is_delivered,
            false as is_read,
            false as is_replied,
            cast(null as string) as error_class,
            false as is_billed,
            false as is_unpriced,
            cast(null as numeric) as cost_brl
        from {{ this }}
        where business_date >= {{ local_date(figures_start()) }}
    {% endif %}
),

counts as (
    select
        campaign_type,
        template_variant,
        business_date,
        countif(event = 'CANDIDATE') as candidates,
        countif(event = 'HELD_OUT') as held_out,
        countif(event = 'TARGET') as targets,
        countif(event = 'ATTEMPT') as attempts,
        countif(is_sent) as sent,
        countif(is_delivered) as delivered,
        countif(is_read) as read,
        countif(is_replied) as replied,
        countif(error_class is not null) as failed,
        countif(error_class in ('temporary', 'pair')) as failed_temporary,
        countif(error_class = 'deferred') as failed_deferred,
        countif(error_class = 'opted_out') as failed_opted_out,
        countif(error_class = 'unreachable') as failed_unreachable,
        countif(error_class in ('content', 'template', 'route')) as failed_content,
        countif(
            error_class in ('laundromat', 'token', 'portfolio', 'sender')
        ) as failed_sender,
        countif(error_class = 'unknown') as failed_unknown,
        countif(is_billed) as billed,
        countif(is_unpriced) as unpriced,
        coalesce(sum(cost_brl), 0) as cost_brl
    from events
    group by campaign_type, template_variant, business_date
),

final as (
    select
        {{ sql_text(var('cnpj')) }} as cnpj,
        *,
        safe_divide(delivered, sent) as delivery_rate,
        safe_divide(read, sent) as read_rate,
        safe_divide(replied, sent) as reply_rate,
        safe_divide(failed, attempts) as failure_rate
    from counts
)

select * from final
