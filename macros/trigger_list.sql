{% macro trigger_list(triggers) -%}
    [
        {% for trigger in triggers -%}
            struct(
                '{{ trigger.fact }}' as fact,
                cast({{ trigger.actual }} as string) as actual,
                {{ trigger.needed }} as needed,
                {{ trigger.condition }} as is_met,
                {{ trigger.changes_on }} as changes_on
            )
            {%- if not loop.last %},{% endif %}
        {% endfor -%}
    ]
{%- endmacro %}
