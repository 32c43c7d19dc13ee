with

customers as (
    select * from {{ ref('stg_customers') }}
),

sales as (
    select * from {{ ref('stg_sales') }}
    where cpf is not null
),

messages as (
    select * from {{ ref('stg_messages') }}
),

opt_outs as (
    select * from {{ ref('stg_opt_outs') }}
),

purchases as (
    select
        cpf,
        min(sold_at) as first_purchase_at,
        max(sold_on) as last_purchase_on,
        max(if(voucher_code is not null, sold_on, null)) as last_voucher_on,
        countif(is_in_loyalty_window) as loyalty_visits,
        sum(if(is_in_loyalty_window, amount_brl, 0)) as loyalty_spent_brl
    from (
        select
            *,
            sold_at >= {{ loyalty_window_start() }} as is_in_loyalty_window
        from sales
    )
    group by cpf
),

-- A message counts for the customer it was sent to and for everybody with the same phone. There are
-- two joins, because one join with OR would compare every customer with every message.
customer_messages as (
    select
        customers.customer_id,
        messages.campaign_type,
        messages.cycle_key,
        messages.sent_at,
        messages.is_failed,
        messages.is_recoverable,
        messages.counts_as_attempt,
        true as is_own
    from customers
    inner join messages on customers.customer_id = messages.customer_id

    union all

    select
        customers.customer_id,
        messages.campaign_type,
        messages.cycle_key,
        messages.sent_at,
        messages.is_failed,
        messages.is_recoverable,
        messages.counts_as_attempt,
        false as is_own
    from customers
    inner join messages on customers.phone = messages.phone
    where customers.customer_id != messages.customer_id
),

message_lists as (
    select
        customer_id,
        array_agg(
            struct(
                campaign_type as campaign_type,
                cycle_key as cycle_key,
                sent_at as sent_at,
                is_failed as is_failed,
                is_recoverable as is_recoverable,
                is_own as is_own,
                counts_as_attempt as counts_as_attempt
            )
            order by sent_at, campaign_type, is_own, is_failed, is_recoverable, cycle_key
        ) as messages
    from customer_messages
    group by customer_id
),

opted_out_ids as (
    select distinct customer_id
    from opt_outs
    where customer_id is not null
),

opted_out_phones as (
    select distinct phone
    from opt_outs
    where phone is not null
),

final as (
    select
        customers.customer_id,
        customers.has_valid_id,
        customers.name,
        customers.phone,
        customers.cpf,
        customers.born_on,
        customers.registered_at,
        customers.registered_on,
        least(
            coalesce(customers.first_purchase_at, purchases.first_purchase_at),
            coalesce(purchases.first_purchase_at, customers.first_purchase_at)
        ) as first_purchase_at,
        purchases.last_purchase_on,
        purchases.last_voucher_on,
        coalesce(purchases.loyalty_visits, 0) as loyalty_visits,
        coalesce(purchases.loyalty_spent_brl, 0) as loyalty_spent_brl,
        opted_out_ids.customer_id is not null
        or opted_out_phones.phone is not null as has_opted_out,
        message_lists.messages,
        {{ now() }} as built_at
    from customers
    left join purchases on customers.cpf = purchases.cpf
    left join message_lists on customers.customer_id = message_lists.customer_id
    left join opted_out_ids on customers.customer_id = opted_out_ids.customer_id
    left join opted_out_phones on customers.phone = opted_out_phones.phone
)

select * from final
