{% macro render(body, placeholders) -%}
    {#- One pass over the text: what a value brings in is never read as a placeholder again. -#}
    (
        select
            if(
                logical_and(not starts_with(part, '{') or placeholder.value is not null),
                string_agg(
                    if(starts_with(part, '{'), placeholder.value, part), '' order by position
                ),
                null
            )
        from
            unnest(
                regexp_extract_all({{ body }}, r'\{[^{}]*\}|[^{]+|\{')
            ) as part with offset as position
        left join
            unnest({{ placeholders }}) as placeholder
            on part = concat('{', placeholder.name, '}')
    )
{%- endmacro %}
