with

source as (
    select * from {{ source('campaign', 'opt_outs') }}
),

held as (
    select
        -- Ids are compared as they are, without any clean-up, like everywhere else.
        if(trim(user_id) = '', null, user_id) as customer_id,
        nullif(trim(whatsapp_user_id), '') as whatsapp_user_id,
        {{ numbers_in_text('phone') }} as numbers
    from source
    where
        -- An opt-out without a timestamp always applies.
        coalesce({{ safe_instant('opted_out_at') }} <= {{ now() }}, true)
        and (
            {{ safe_instant('resumed_at') }} is null
            or resumed_at > {{ now() }}
            or resumed_at < {{ safe_instant('opted_out_at') }}
        )
),

recipients as (
    select distinct
        whatsapp_user_id,
        customer_id
    from {{ ref('stg_messages') }}
    where whatsapp_user_id is not null
),

-- A person who hides the number is found by WhatsApp's id, from messages that reached them, under
-- all of their customer ids.
persons as (
    select
        held.numbers,
        known_id as customer_id
    from held
    left join recipients on held.whatsapp_user_id = recipients.whatsapp_user_id
    cross join
        unnest(
            if(
                held.customer_id != recipients.customer_id,
                [held.customer_id, recipients.customer_id],
                [coalesce(held.customer_id, recipients.customer_id)]
            )
        ) as known_id
),

-- Every number in the field opts out; a field without a number still gives one row.
numbers as (
    select
        persons.customer_id,
        number,
        {{ e164("regexp_extract(number, " ~ mobile_pattern() ~ ")") }} as phone
    from persons
    left join unnest(regexp_extract_all(persons.numbers, r'[^|]*\d{8}x?')) as number
),

final as (
    select
        customer_id,
        phone,
        -- A number that is not a mobile may lack its area code.
        if(phone is null, regexp_extract(number, r'(\d{8})x?$'), null) as phone_ending,
        customer_id is null and phone is null as is_unreadable
    from numbers
)

select * from final
