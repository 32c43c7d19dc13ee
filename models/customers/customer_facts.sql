with

registrations as (
    select
        *,
        {{ pseudonym('customer_id') }} as id_pseudonym,
        {{ cpf_pseudonym('cpf') }} as cpf_pseudonym,
        {{ pseudonym('phone') }} as phone_pseudonym
    from {{ ref('stg_customers') }}
),

sales as (
    select * from {{ ref('stg_sales') }}
    where cpf is not null
),

-- Until when the till has sent sales; sales without a cpf count here, too.
newest_sale as (
    select max(sold_at) as sales_until
    from {{ ref('stg_sales') }}
),

opt_outs as (
    select * from {{ ref('stg_opt_outs') }}
),

-- `vmhub privacy erase` leaves an opt-out for each pseudonym of the person: of id, cpf and phone.
erased as (
    select distinct customer_id as pseudonym
    from opt_outs
    where starts_with(customer_id, {{ pseudonym_prefix() }})
),

marked as (
    select
        *,
        coalesce(id_pseudonym in (select erased.pseudonym from erased), false)
        or coalesce(cpf_pseudonym in (select erased.pseudonym from erased), false) as is_erased,
        coalesce(
            phone_pseudonym in (select erased.pseudonym from erased), false
        ) as has_phone_of_erased
    from registrations
),

-- RAW may still have a person who was erased here. Their row has pseudonyms only: the history knows
-- them by the same ones, and no sale of theirs is found below, so that they meet no trigger.
customers as (
    select
        if(is_erased, id_pseudonym, customer_id) as customer_id,
        has_valid_id,
        if(is_erased, '', name) as name,
        if(is_erased, cpf_pseudonym, cpf) as cpf,
        if(is_erased, null, phone) as phone,
        if(is_erased, null, born_on) as born_on,
        if(is_erased, null, registered_at) as registered_at,
        if(is_erased, null, registered_on) as registered_on,
        if(is_erased, null, first_purchase_at) as first_purchase_at,
        is_erased or has_phone_of_erased as is_opted_out_by_pseudonym,
        id_pseudonym
    from marked
),

-- The history has an erased person's pseudonym for ever, also when they want messages again.
messages as (
    select
        known_messages.* except (customer_id),
        coalesce(customers.customer_id, known_messages.customer_id) as customer_id
    from {{ ref('stg_messages') }} as known_messages
    left join customers on known_messages.customer_id = customers.id_pseudonym
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

-- The person a message went to: from the message itself, and from the customer who has its id now.
-- If that customer no longer exists, only the message's phone is known.
sent_messages as (
    select
        messages.customer_id,
        messages.campaign_type,
        messages.cycle_key,
        messages.sent_at,
        messages.is_failed,
        messages.is_recoverable,
        messages.counts_as_attempt,
        coalesce(messages.phone, recipients.phone) as phone,
        recipients.cpf,
        recipients.born_on,
        recipients.customer_id is null
        and messages.sent_at >= {{ local_midnight(today()) }} as is_of_today_to_unknown
    from messages
    left join customers as recipients on messages.customer_id = recipients.customer_id
),

-- A message counts for the person it was sent to, under any of their ids, and for everybody with
-- that phone. There are several joins, since one join with OR would compare every customer with
-- every message. No message is found by two of the joins.
customer_messages as (
    select
        customers.customer_id,
        sent_messages.campaign_type,
        sent_messages.cycle_key,
        sent_messages.sent_at,
        sent_messages.is_failed,
        sent_messages.is_recoverable,
        sent_messages.counts_as_attempt,
        true as is_own
    from customers
    inner join sent_messages on customers.customer_id = sent_messages.customer_id

    union all

    select
        customers.customer_id,
        sent_messages.campaign_type,
        sent_messages.cycle_key,
        sent_messages.sent_at,
        sent_messages.is_failed,
        sent_messages.is_recoverable,
        sent_messages.counts_as_attempt,
        true as is_own
    from customers
    inner join sent_messages on customers.cpf = sent_messages.cpf
    where customers.customer_id != sent_messages.customer_id

    union all

    select
        customers.customer_id,
        sent_messages.campaign_type,
        sent_messages.cycle_key,
        sent_messages.sent_at,
        sent_messages.is_failed,
        sent_messages.is_recoverable,
        sent_messages.counts_as_attempt,
        -- Family members may share a phone, but not a birth date. For an id that no longer exists,
        -- the day decides: two people with one phone seldom get a message on the same day.
        coalesce(customers.born_on = sent_messages.born_on, false)
        or sent_messages.is_of_today_to_unknown as is_own
    from customers
    inner join sent_messages on customers.phone = sent_messages.phone
    where
        customers.customer_id != sent_messages.customer_id
        and coalesce(customers.cpf != sent_messages.cpf, true)
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

-- Opt-outs that may be anybody's, until somebody completes them.
unreadable as (
    select countif(is_unreadable) as unreadable_opt_outs
    from opt_outs
),

opted_out_ids as (
    select distinct customer_id
    from opt_outs
    where customer_id is not null
),

-- Phones that opted out, and phones that got messages for an id that opted out.
opted_out_phones as (
    select phone
    from opt_outs
    where phone is not null

    union distinct

    select sent_messages.phone
    from sent_messages
    inner join opted_out_ids on sent_messages.customer_id = opted_out_ids.customer_id
    where sent_messages.phone is not null
),

opted_out_endings as (
    select distinct phone_ending
    from opt_outs
    where phone_ending is not null
),

opted_out_customers as (
    select
        customers.customer_id,
        customers.phone,
        customers.cpf,
        customers.is_opted_out_by_pseudonym
        or opted_out_ids.customer_id is not null
        or opted_out_phones.phone is not null
        or opted_out_endings.phone_ending is not null as has_opted_out
    from customers
    left join opted_out_ids on customers.customer_id = opted_out_ids.customer_id
    left join opted_out_phones on customers.phone = opted_out_phones.phone
    left join opted_out_endings
        on right(customers.phone, 8) = opted_out_endings.phone_ending
),

-- An opt-out belongs to the person: it applies to every id with that phone or cpf.
opted_out_persons as (
    select
        customer_id,
        has_opted_out
        or (
            phone is not null
            and logical_or(has_opted_out) over (partition by phone)
        )
        or (
            cpf is not null
            and logical_or(has_opted_out) over (partition by cpf)
        ) as has_opted_out
    from opted_out_customers
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
        opted_out_persons.has_opted_out,
        message_lists.messages,
        newest_sale.sales_until,
        unreadable.unreadable_opt_outs,
        {{ now() }} as built_at
    from customers
    cross join newest_sale
    cross join unreadable
    left join purchases on customers.cpf = purchases.cpf
    left join message_lists on customers.customer_id = message_lists.customer_id
    inner join opted_out_persons on customers.customer_id = opted_out_persons.customer_id
)

select * from final
