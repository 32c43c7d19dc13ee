{% macro blocker_list(conditions) -%}
    {%- if conditions -%}
        array(
            select blocker
            from
                unnest([
                    {% for blocker, condition in conditions.items() -%}
                        if({{ condition }}, '{{ blocker }}', null)
                        {%- if not loop.last %},{% endif %}
                    {% endfor -%}
                ]) as blocker with offset as position
            where blocker is not null
            order by position
        )
    {%- else -%} array<string>[]
    {%- endif -%}
{%- endmacro %}
