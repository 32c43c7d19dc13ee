with

customers as (
    select
        customer_id,
        cpf
    from {{ ref('customer_facts') }}
),

-- A code belongs to one customer and cycle. If two share it, the first who got it counts.
sent as (
    select * from {{ ref('messages') }}
    where
        voucher_code is not null
        and status not in ('PENDING', 'FAILED')
    qualify
        row_number() over (
            partition by voucher_code
            order by sent_at, campaign_type, customer_id, message_key
        ) = 1
),

-- A coupon as it was typed: its words in capital letters, with one hyphen in place of whatever was
-- between them.
sales as (
    select
        {{ cpf_of_facts('cpf', 'customers') }} as cpf,
        sold_at,
        amount_brl,
        trim(
            regexp_replace({{ plain_text('voucher_code') }}, r'[^A-Z0-9]+', '-'), '-'
        ) as typed_code
    from {{ ref('stg_sales') }}
    where voucher_code is not null
),

typed as (
    select
        typed_code,
        split(typed_code, '-') as words
    from sales
    group by typed_code
),

-- Every sequence of words in it, since other words may stand around the code. Nobody types more
-- than a dozen words.
word_rows as (
    select
        typed.typed_code,
        array_to_string(
            array(
                select word
                from unnest(typed.words) as word with offset as place
                where place between first_place and last_place
                order by place
            ),
            ''
        ) as letters
    from typed
    cross join unnest(generate_array(0, least(array_length(typed.words), 12) - 1)) as first_place
    cross join
        unnest(
            generate_array(first_place, least(array_length(typed.words), 12) - 1)
        ) as last_place
),

-- If a text has two codes, the longer one counts.
found as (
    select
        word_rows.typed_code,
        sent.voucher_code
    from word_rows
    inner join sent
        on word_rows.letters = regexp_replace(sent.voucher_code, r'[^A-Z0-9]', '')
    where true
    qualify
        row_number() over (
            partition by word_rows.typed_code
            order by length(word_rows.letters) desc, sent.voucher_code
        ) = 1
),

prefixes as (
    {% for campaign in var('campaigns') -%}
        select
            {{ sql_text(campaign | upper) }} as campaign_type,
            {{ sql_text(var(campaign ~ '_voucher_prefix')) }} as voucher_prefix
        {% if not loop.last %}
            union all
        {% endif %}
    {%- endfor %}
),

uses as (
    select
        coalesce(found.voucher_code, sales.typed_code) as voucher_code,
        count(*) as redemptions,
        min(sales.sold_at) as first_redeemed_at,
        sum(sales.amount_brl) as revenue_brl,
        coalesce(logical_or(sales.cpf != customers.cpf), false) as is_used_by_other
    from sales
    left join found on sales.typed_code = found.typed_code
    left join sent on found.voucher_code = sent.voucher_code
    left join customers on sent.customer_id = customers.customer_id
    group by coalesce(found.voucher_code, sales.typed_code)
),

matched_by_prefix as (
    select
        uses.voucher_code,
        prefixes.voucher_prefix,
        prefixes.campaign_type
    from uses
    inner join prefixes
        on strpos(concat('-', uses.voucher_code), concat('-', prefixes.voucher_prefix)) > 0
    left join sent on uses.voucher_code = sent.voucher_code
    where
        sent.voucher_code is null
        and prefixes.voucher_prefix != ''
    qualify
        row_number() over (
            partition by uses.voucher_code
            order by length(prefixes.voucher_prefix) desc, prefixes.campaign_type
        ) = 1
),

codes as (
    select
        voucher_code,
        split(voucher_code, '-')[safe_offset(0)] as voucher_prefix,
        campaign_type,
        template_variant,
        customer_id,
        sent_on,
        'CODE' as matched_by
    from sent

    union all

    select
        voucher_code,
        voucher_prefix,
        campaign_type,
        'UNKNOWN' as template_variant,
        cast(null as string) as customer_id,
        cast(null as date) as sent_on,
        'PREFIX' as matched_by
    from matched_by_prefix
),

final as (
    select
        {{ sql_text(var('cnpj')) }} as cnpj,
        codes.voucher_code,
        codes.voucher_prefix,
        codes.campaign_type,
        codes.template_variant,
        codes.customer_id,
        codes.sent_on,
        if(uses.voucher_code is null, null, codes.matched_by) as matched_by,
        coalesce(uses.redemptions, 0) as redemptions,
        uses.first_redeemed_at,
        {{ local_date('uses.first_redeemed_at') }} as first_redeemed_on,
        coalesce(uses.revenue_brl, 0) as revenue_brl,
        coalesce(uses.is_used_by_other, false) as is_used_by_other
    from codes
    left join uses on codes.voucher_code = uses.voucher_code
)

select * from final
