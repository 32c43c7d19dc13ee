{% macro is_held_out(campaign_type, customer_id, percent, day) -%}
    {#- The control group stays the same for a year, so that it can be compared. MOD comes before
        ABS, since the smallest INT64 has no absolute value. -#}
    abs(
        mod(
            farm_fingerprint(
                concat(
                    'holdout|',
                    {{ campaign_type }},
                    '|',
                    {{ customer_id }},
                    format_date('|%Y', {{ day }})
                )
            ),
            100
        )
    ) < {{ percent }}
{%- endmacro %}
