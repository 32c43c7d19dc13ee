with

source as (
    select * from {{ source('campaign', 'opt_outs') }}
),

held as (
    select
        -- As it stands, like everywhere else: an id is compared, not read.
        if(trim(user_id) = '', null, user_id) as customer_id,
        {{ numbers_in_text('phone') }} as numbers
    from source
    where
        -- Without an instant, the wish holds since always.
        coalesce({{ safe_instant('opted_out_at') }} <= {{ now() }}, true)
        and (
            {{ safe_instant('resumed_at') }} is null
            or resumed_at > {{ now() }}
            or resumed_at < {{ safe_instant('opted_out_at') }}
        )
),

-- Every number in the field opts out, and a field without any is still a row.
numbers as (
    select
        held.customer_id,
        number,
        {{ e164("regexp_extract(number, " ~ mobile_pattern() ~ ")") }} as phone
    from held
    left join unnest(regexp_extract_all(held.numbers, r'[^|]*\d{8}x?')) as number
),

final as (
    select
        customer_id,
        phone,
        -- A number that is no mobile as it stands may lack its area code.
        if(phone is null, regexp_extract(number, r'(\d{8})x?$'), null) as phone_ending,
        customer_id is null and phone is null as is_unreadable
    from numbers
)

select * from final
