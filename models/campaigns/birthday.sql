with

customers as (
    select * from {{ ref('customer_facts') }}
),

birthdays as (
    select
        *,
        {{ birthday_in_year('born_on', today()) }} as birthday_on
    from customers
    where born_on is not null
),

final as (
    select
        'BIRTHDAY' as campaign_type,
        customer_id,
        format_date('%Y', {{ today() }}) as cycle_key,
        {{ local_midnight('date_trunc(' ~ today() ~ ', year)') }} as cycle_start,
        'DEFAULT' as template_variant,
        [
            struct('first_name' as name, {{ first_name('name') }} as value)
        ] as placeholders,
        to_json(
            struct(
                extract(year from {{ today() }}) - extract(year from born_on) as age
            )
        ) as data,
        array<string>[] as blockers
    from birthdays
    where birthday_on = {{ today() }}
)

select * from final
