{%- set triggers = [
    trigger(
        'birthday of this year',
        'birthday_on',
        '=',
        today(),
        changes_on=next_birthday('born_on'),
    ),
] -%}

with

customers as (
    select
        *,
        {{ birthday_in_year('born_on', today()) }} as birthday_on
    from {{ ref('customer_facts') }}
),

final as (
    select
        'BIRTHDAY' as campaign_type,
        customer_id,
        {{ trigger_list(triggers) }} as triggers,
        format_date('%Y', {{ today() }}) as cycle_key,
        {{ local_midnight('date_trunc(' ~ today() ~ ', year)') }} as cycle_start,
        date_add(date_trunc({{ today() }}, year), interval 1 year) as next_cycle_on,
        'DEFAULT' as template_variant,
        [
            struct('first_name' as name, {{ first_name('name') }} as value)
        ] as placeholders,
        to_json(
            struct(
                extract(year from {{ today() }}) - extract(year from born_on) as age
            )
        ) as data,
        {{ blocker_list({}) }} as blockers,
        {{ blocker_facts({}) }} as blocker_facts
    from customers
    where {{ are_met(triggers) }}
)

select * from final
