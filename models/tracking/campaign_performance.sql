{{ config(
    materialized='incremental',
    unique_key=['campaign_type', 'template_variant', 'business_date'],
    partition_by={'field': 'business_date', 'data_type': 'date', 'granularity': 'month'},
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
        -- Who was messaged before a build saw it was a candidate by then. (least() would be NULL as
        -- soon as one of the two is.)
        (
            select min(day)
            from unnest([first_seen_on, first_targeted_on]) as day
        ) as first_candidate_on
    from {{ ref('target_log') }}
),

error_classes as (
    select * from {{ ref('whatsapp_error_classes') }}
),

-- One row for each thing that is counted, on its day.
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
        if(attempts.is_failed, coalesce(error_classes.class, 'unknown'), null) as error_class
    from attempts
    left join error_classes on attempts.error_code = error_classes.code

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
        cast(null as string) as error_class
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

        -- Rows written before, so that they become 0 when their events are now on another day or
        -- text: MERGE deletes no row.
        select
            campaign_type,
            template_variant,
            business_date,
            'COUNTED_BEFORE' as event,
            false as is_sent,
            false as is_delivered,
            false as is_read,
            false as is_replied,
            cast(null as string) as error_class
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
        countif(error_class = 'unknown') as failed_unknown
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
