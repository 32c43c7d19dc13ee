-- Not private: the figures count attempts one by one.
{{ config(access='protected') }}

with

source as (
    select
        * except (status, sent_at, delivered_at, read_at, replied_at, updated_at),
        -- An impossible instant becomes one before any period that counts: it stays a message.
        greatest(sent_at, timestamp '1900-01-01 00:00:00+00:00') as sent_at,
        {{ safe_instant('delivered_at') }} as delivered_at,
        {{ safe_instant('read_at') }} as read_at,
        {{ safe_instant('replied_at') }} as replied_at,
        {{ safe_instant('updated_at') }} as updated_at,
        case
            when upper(trim(status)) in ('PENDING', 'DELIVERED', 'READ', 'FAILED')
                then upper(trim(status))
            -- A message that is not known to have failed may have reached the customer.
            else 'SENT'
        end as status
    from {{ source('campaign', 'message_history') }}
    where
        sent_at <= {{ now() }}
        and trim(coalesce(user_id, '')) != ''
        and trim(coalesce(campaign_type, '')) != ''
),

final as (
    select
        user_id as customer_id,
        {{ normalize_phone('phone') }} as phone,
        upper(trim(campaign_type)) as campaign_type,
        cycle_key,
        -- Without a cycle, each attempt is a message of its own.
        coalesce(
            nullif(trim(cycle_key), ''),
            concat('AT ', format_timestamp('%F %H:%M:%E6S', sent_at, 'UTC'))
        ) as message_key,
        coalesce(attempt, 1) as attempt,
        sent_at,
        {{ local_date('sent_at') }} as sent_on,
        status,
        status = 'FAILED' as is_failed,
        coalesce(recoverable, true) as is_recoverable,
        {{ failure_counts("nullif(trim(error_code), '')") }} as counts_as_attempt,
        status not in ('PENDING', 'FAILED') as is_sent,
        status in ('DELIVERED', 'READ')
        or (
            status = 'SENT' and coalesce(delivered_at, read_at) is not null
        ) as is_delivered,
        status = 'READ'
        or (status in ('SENT', 'DELIVERED') and read_at is not null) as is_read,
        status not in ('PENDING', 'FAILED') and replied_at is not null as is_replied,
        delivered_at,
        read_at,
        replied_at,
        nullif(trim(error_code), '') as error_code,
        message_id,
        nullif(trim(template_variant), '') as template_variant,
        nullif(upper(trim(voucher_code)), '') as voucher_code,
        nullif(trim(whatsapp_user_id), '') as whatsapp_user_id,
        nullif(upper(trim(price_category)), '') as price_category,
        is_billable,
        updated_at
    from source
)

select * from final
