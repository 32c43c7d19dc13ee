-- Not private: the figures look at sales one by one.
{{ config(access='protected') }}

with

source as (
    select
        {{ safe_instant('data') }} as sold_at,
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
        sold_at,
        {{ local_date('sold_at') }} as sold_on,
        -- A sum of NUMERIC is the same in any order of rows. A missing amount counts as 0, and so
        -- does an impossibly large one: the sum of two such amounts may not fit into NUMERIC.
        if(abs(valor) < 1e12, coalesce(safe_cast(valor as numeric), 0), 0) as amount_brl,
        {{ voucher_in_text('cupom') }} as voucher_code
    from source
    where
        sold_at is not null
        and upper(trim(status)) = 'COMPLETED'
)

select * from final
