with

customers as (
    select
        *,
        {{ today() }} as today,
        extract(year from {{ today() }}) as this_year
    from {{ ref('customer_facts') }}
),

birthdays as (
    select
        *,
        {{ birthday_in_year('born_on', 'this_year') }} as birthday_on,
        {{ birthday_in_year('born_on', 'this_year + 1') }} as next_year_birthday_on
    from customers
),

checked as (
    select
        *,
        [
            struct(
                'birthday' as fact,
                concat(
                    'on ', extract(day from birthday_on), format_date(' %B', birthday_on)
                ) as actual,
                concat('on ', extract(day from today), format_date(' %B', today)) as needed,
                birthday_on = today as is_met,
                case
                    when birthday_on = today then date_add(today, interval 1 day)
                    when birthday_on > today then birthday_on
                    else next_year_birthday_on
                end as changes_on
            )
        ] as triggers
    from birthdays
),

final as (
    select
        'BIRTHDAY' as campaign_type,
        customer_id,
        triggers,
        format_date('%Y', today) as cycle_key,
        {{ local_midnight('date_trunc(today, year)') }} as cycle_start,
        date_add(date_trunc(today, year), interval 1 year) as next_cycle_on,
        'DEFAULT' as template_variant,
        [
            struct('first_name' as name, {{ first_name('name') }} as value)
        ] as placeholders,
        to_json(
            struct(
                this_year - extract(year from born_on) as age
            )
        ) as data,
        array<string>[] as blockers,
        array<struct<blocker string, fact string, changes_on date>>[] as blocker_facts
    from checked
    where
        not exists (
            select 1
            from unnest(triggers) as trigger
            where trigger.is_met is not true
        )
        -- `vmhub explain` also asks for the customers who are not candidates.
        or {{ var('with_non_candidates') }}
)

select * from final
