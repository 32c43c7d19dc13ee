with

source as (
    select
        id,
        nome,
        cpf,
        telefone,
        dataNascimento,
        dataCadastro,
        primeiraCompra
    from {{ source('raw', 'clientes') }}
    where
        trim(coalesce(id, '')) != ''
        -- A registration without an instant cannot be placed in time: it is always there.
        and coalesce(dataCadastro <= {{ now() }}, true)
    -- The newest registration of an id counts; what else the row says only breaks the tie.
    qualify
        row_number() over (
            partition by id
            order by
                dataCadastro desc,
                to_json_string(
                    [
                        nome,
                        cpf,
                        telefone,
                        cast(dataNascimento as string),
                        cast(primeiraCompra as string)
                    ]
                )
        ) = 1
),

registrations as (
    select
        id as customer_id,
        trim(coalesce(nome, '')) as name,
        {{ normalize_cpf('cpf') }} as cpf,
        {{ normalize_phone('telefone') }} as phone,
        date(dataNascimento) as born_on,
        dataCadastro as registered_at,
        primeiraCompra as first_purchase_at
    from source
),

final as (
    select
        customer_id,
        {{ is_document_id('customer_id') }} as has_valid_id,
        name,
        cpf,
        phone,
        -- Tills write 1900-01-01 or a day to come where nobody gave a birth date.
        if(born_on between date '1901-01-01' and {{ today() }}, born_on, null) as born_on,
        registered_at,
        {{ local_date('registered_at') }} as registered_on,
        if(first_purchase_at <= {{ now() }}, first_purchase_at, null) as first_purchase_at
    from registrations
)

select * from final
