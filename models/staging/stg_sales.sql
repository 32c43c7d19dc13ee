-- Not private: the figures look at sales one by one.
{{ config(access='protected') }}

with

source as (
    select
        data,
        cpfCliente,
        valor,
        status,
        cupom
    from {{ source('raw', 'vendas') }}
    where data <= {{ now() }}
),

final as (
    select
        {{ normalize_cpf('cpfCliente') }} as cpf,
        data as sold_at,
        {{ local_date('data') }} as sold_on,
        -- NUMERIC adds up to the same total in any order of rows; a missing amount adds nothing.
        coalesce(safe_cast(valor as numeric), 0) as amount_brl,
        nullif(trim(cupom), '') as voucher_code
    from source
    where upper(trim(status)) = 'COMPLETED'
)

select * from final
