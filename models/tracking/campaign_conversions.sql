with

messages as (
    select * from {{ ref('messages') }}
    where status not in ('PENDING', 'FAILED')
),

customers as (
    select
        customer_id,
        cpf
    from {{ ref('customer_facts') }}
    where cpf is not null
),

sales as (
    select
        {{ cpf_of_facts('cpf', 'customers') }} as cpf,
        sold_at,
        amount_brl
    from {{ ref('stg_sales') }}
    where cpf is not null
),

-- Sales have no key. A person's sales at one instant are one row: their last message is the same.
purchases as (
    select
        cpf,
        sold_at,
        count(*) as sales,
        sum(amount_brl) as revenue_brl
    from sales
    group by cpf, sold_at
),

credited as (
    select
        messages.campaign_type,
        messages.template_variant,
        messages.customer_id,
        messages.message_key,
        messages.sent_at,
        messages.sent_on,
        purchases.sold_at,
        purchases.sales,
        purchases.revenue_brl
    from messages
    inner join customers on messages.customer_id = customers.customer_id
    inner join purchases
        on
            customers.cpf = purchases.cpf
            and messages.sent_at < purchases.sold_at
            and {{ conversion_end('messages.sent_at') }} >= purchases.sold_at
    where true
    -- Credit the last message before the purchase, to any id of the person.
    qualify
        row_number() over (
            partition by purchases.cpf, purchases.sold_at
            order by
                messages.sent_at desc,
                messages.campaign_type asc,
                messages.customer_id asc,
                messages.message_key asc
        ) = 1
),

conversions as (
    select
        campaign_type,
        template_variant,
        customer_id,
        message_key,
        sent_at,
        sent_on,
        min(sold_at) as first_purchase_at,
        sum(sales) as purchases,
        sum(revenue_brl) as revenue_brl
    from credited
    group by campaign_type, template_variant, customer_id, message_key, sent_at, sent_on
),

final as (
    select
        {{ sql_text(var('cnpj')) }} as cnpj,
        campaign_type,
        template_variant,
        customer_id,
        message_key,
        sent_at,
        sent_on,
        first_purchase_at,
        {{ local_date('first_purchase_at') }} as first_purchase_on,
        purchases,
        revenue_brl
    from conversions
)

select * from final
