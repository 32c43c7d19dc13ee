with

source as (
    select
        id,
        nome,
        cpf,
        telefone,
        dataNascimento,
        {{ safe_instant('dataCadastro') }} as registered_at,
        {{ safe_instant('primeiraCompra') }} as first_purchase_at
    from {{ source('raw', 'clientes') }}
    where
        trim(coalesce(id, '')) != ''
        -- A registration without an instant is always included.
        and coalesce({{ safe_instant('dataCadastro') }} <= {{ now() }}, true)
    -- The newest registration of an id counts; the other columns only break ties.
    qualify
        row_number() over (
            partition by id
            order by
                registered_at desc,
                to_json_string(
                    [
                        nome,
                        cpf,
                        telefone,
                        cast(unix_micros(dataNascimento) as string),
                        cast(unix_micros(first_purchase_at) as string)
                    ]
                )
        ) = 1
),

registrations as (
    select
        id as customer_id,
        -- A longer text is not a person's name.
        substr(coalesce({{ visible_text('nome') }}, ''), 1, 60) as name,
        {{ normalize_cpf('cpf') }} as cpf,
        {{ normalize_phone('telefone') }} as phone,
        date(dataNascimento, 'UTC') as birth_date,
        registered_at,
        first_purchase_at
    from source
),

-- Without a birth date, tills write 1900-01-01 or a day in the future …
plausible as (
    select
        *,
        if(
            birth_date between date '1901-01-01' and {{ today() }}, birth_date, null
        ) as born_on
    from registrations
),

final as (
    select
        customer_id,
        {{ is_document_id('customer_id') }} as has_valid_id,
        name,
        {{ unless_a_placeholder('cpf', setting('max_customers_per_cpf')) }} as cpf,
        {{ unless_a_placeholder('phone', setting('max_customers_per_phone')) }} as phone,
        -- … or the same day for everybody.
        if(
            count(*) over (partition by born_on) >= {{ setting('min_placeholder_birth_dates') }}
            and count(*) over (partition by born_on) * 100
            > count(*) over () * {{ setting('max_birth_date_percent') }},
            null,
            born_on
        ) as born_on,
        registered_at,
        -- A date without a time comes as midnight UTC, which is the evening before in Brazil.
        if(
            registered_at = timestamp_trunc(registered_at, day, 'UTC'),
            date(registered_at, 'UTC'),
            {{ local_date('registered_at') }}
        ) as registered_on,
        if(first_purchase_at <= {{ now() }}, first_purchase_at, null) as first_purchase_at
    from plausible
)

select * from final
