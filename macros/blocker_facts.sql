{% macro blocker_facts(facts) -%}
    {%- if facts -%}
        [
            {% for blocker, known in facts.items() -%}
                struct(
                    '{{ blocker }}' as blocker,
                    {{ known.fact }} as fact,
                    {{ known.changes_on or 'cast(null as date)' }} as changes_on
                )
                {%- if not loop.last %},{% endif %}
            {% endfor -%}
        ]
    {%- else -%} array<struct<blocker string, fact string, changes_on date>>[]
    {%- endif -%}
{%- endmacro %}
