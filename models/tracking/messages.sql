{{ config(
    materialized='incremental',
    unique_key=['campaign_type', 'customer_id', 'message_key'],
    partition_by={'field': 'sent_at', 'data_type': 'timestamp', 'granularity': 'day'},
) }}

with

attempts as (
    select * from {{ ref('stg_messages') }}
    where {{ is_counted_anew('sent_at') }}
),

error_classes as (
    select * from {{ ref('whatsapp_error_classes') }}
),

newest_attempts as (
    select *
    from attempts
    where true
    qualify
        row_number() over (
            partition by campaign_type, customer_id, message_key
            order by
                attempt desc,
                sent_at desc,
                updated_at desc,
                -- If two instants are equal, the other columns break the tie.
                to_json_string(
                    [
                        status,
                        error_code,
                        message_id,
                        template_variant,
                        voucher_code,
                        cast(delivered_at as string),
                        cast(read_at as string),
                        cast(replied_at as string)
                    ]
                )
        ) = 1
),

final as (
    select
        {{ sql_text(var('cnpj')) }} as cnpj,
        attempts.campaign_type,
        attempts.customer_id,
        attempts.message_key,
        attempts.cycle_key,
        attempts.attempt,
        attempts.sent_at,
        attempts.sent_on,
        attempts.status,
        attempts.is_failed,
        attempts.is_delivered,
        attempts.is_read,
        attempts.is_replied,
        attempts.delivered_at,
        attempts.read_at,
        attempts.replied_at,
        attempts.error_code,
        if(attempts.is_failed, coalesce(error_classes.class, 'unknown'), null) as error_class,
        attempts.message_id,
        coalesce(attempts.template_variant, 'UNKNOWN') as template_variant,
        attempts.voucher_code,
        attempts.updated_at
    from newest_attempts as attempts
    left join error_classes on attempts.error_code = error_classes.code
)

select * from final
