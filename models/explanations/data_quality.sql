-- In this group, since only it may read the staging models.
{{ config(group='customer_data') }}

with

-- Each customer counts once, by the newest registration, as in stg_customers.
registrations as (
    select
        nome,
        cpf,
        telefone,
        dataNascimento,
        {{ safe_instant('dataCadastro') }} as registered_at
    from {{ source('raw', 'clientes') }}
    where
        trim(coalesce(id, '')) != ''
        and coalesce({{ safe_instant('dataCadastro') }} <= {{ now() }}, true)
    qualify
        row_number() over (
            partition by id
            order by registered_at desc, to_json_string([nome, cpf, telefone])
        ) = 1
),

-- The text of each field, the value that is read from it, and its digits and letters.
fields as (
    select
        coalesce({{ visible_text('telefone') }}, '') as phone_text,
        {{ normalize_phone('telefone') }} as phone,
        {{ numbers_in_text('telefone') }} as phone_numbers,
        regexp_replace(telefone, r'[^0-9]', '') as phone_digits,
        coalesce({{ visible_text('cpf') }}, '') as cpf_text,
        {{ normalize_cpf('cpf') }} as cpf,
        regexp_replace(cpf, r'[^0-9]', '') as cpf_digits,
        coalesce({{ visible_text('nome') }}, '') as name_text,
        date(dataNascimento, 'UTC') as birth_date
    from registrations
),

shares as (
    select
        *,
        {{ first_name('name_text') }} as first_name,
        count(*) over (partition by phone) as customers_with_phone,
        count(*) over (partition by cpf) as customers_with_cpf,
        count(*) over (partition by birth_date) as customers_with_birth_date,
        count(*) over () as customers
    from fields
),

problems as (
    select
        case
            when phone_text = '' then 'missing'
            when customers_with_phone > {{ setting('max_customers_per_phone') }}
                and phone is not null then 'shared_by_too_many'
            when phone is not null then null
            when
                regexp_contains(
                    phone_numbers, r'(?:^|\|)(?:\+|00)(?:[1-46-9]|5[0-46-9])[0-9]{5}'
                ) then 'foreign'
            when phone_digits = '' then 'no_number'
            when
                length(phone_digits) >= 8
                and (
                    phone_digits = repeat(left(phone_digits, 1), length(phone_digits))
                    or ends_with(phone_digits, '99999999')
                ) then 'placeholder'
            when
                regexp_contains(
                    phone_numbers, r'(?:^|\|)(?:\+?55)?0?[1-9][1-9][2-5][0-9]{7}x?(?:\||$)'
                ) then 'landline'
            when length(phone_digits) < 10 then 'too_short'
            else 'unreadable'
        end as phone_problem,
        case
            when cpf_text = '' then 'missing'
            when customers_with_cpf > {{ setting('max_customers_per_cpf') }}
                and cpf is not null then 'shared_by_too_many'
            when cpf is not null then null
            when regexp_contains(cpf_text, r'[*•]|(?i:X{2})') then 'masked'
            when regexp_contains(cpf_text, r'(?i)[0-9]E[+-]?[0-9]') then 'rounded'
            when cpf_digits = '' then 'no_number'
            when cpf_digits = repeat(left(cpf_digits, 1), length(cpf_digits)) then 'placeholder'
            when regexp_contains(cpf_text, r'\p{L}') then 'unreadable'
            when length(cpf_digits) < 11 then 'too_short'
            when length(cpf_digits) > 11 then 'too_long'
            else 'unreadable'
        end as cpf_problem,
        case
            when name_text = '' then 'missing'
            when {{ is_placeholder('name_text', setting('name_placeholders')) }}
                then 'placeholder'
            when first_name = 'cliente' then 'unreadable'
        end as name_problem,
        case
            when birth_date is null then 'missing'
            when birth_date < date '1901-01-01' or birth_date > {{ today() }}
                then 'impossible_date'
            when
                customers_with_birth_date >= {{ setting('min_placeholder_birth_dates') }}
                and customers_with_birth_date * 100
                > customers * {{ setting('max_birth_date_percent') }}
                then 'shared_by_too_many'
        end as birth_date_problem
    from shares
),

-- One month is enough to see what the till writes; reading older sales would only cost more.
sales as (
    select
        upper(trim(coalesce(status, ''))) as status,
        {{ visible_text('cupom') }} as coupon_text,
        {{ voucher_in_text('cupom') }} as coupon,
        row_number() over (
            partition by
                to_json_string(
                    [
                        cast(unix_micros(data) as string),
                        cpfCliente,
                        cast(valor as string),
                        status,
                        tipoPagamento,
                        cupom
                    ]
                )
        ) > 1 as is_repeated
    from {{ source('raw', 'vendas') }}
    where
        data >= timestamp_sub({{ now() }}, interval 31 day)
        and data <= {{ now() }}
),

readings as (
    select
        'phones' as field,
        phone_problem as problem
    from problems

    union all

    select
        'cpfs' as field,
        cpf_problem as problem
    from problems

    union all

    select
        'names' as field,
        name_problem as problem
    from problems

    union all

    select
        'birth dates' as field,
        birth_date_problem as problem
    from problems

    union all

    -- Equal rows still count as several sales: a customer can pay two machines at once.
    select
        'sales' as field,
        if(is_repeated, 'repeated', null) as problem
    from sales

    union all

    select
        'statuses' as field,
        case
            when status = '' then 'missing'
            when status != 'COMPLETED' then 'not_completed'
        end as problem
    from sales

    union all

    -- Most sales have no coupon, and need none.
    select
        'coupons' as field,
        case
            when coupon is not null then null
            when regexp_contains(coupon_text, r'[\p{L}\p{N}]') then 'placeholder'
            else 'unreadable'
        end as problem
    from sales
    where coupon_text != ''

    union all

    select
        'opt-outs' as field,
        case
            when not is_unreadable then null
            when phone_ending is not null then 'no_area_code'
            else 'unreadable'
        end as problem
    from {{ ref('stg_opt_outs') }}
),

final as (
    select
        field,
        problem,
        count(*) as row_count
    from readings
    group by field, problem
)

select * from final
