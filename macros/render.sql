{% macro render(body, placeholders) -%}
    {#- One pass over the text: what a value brings in is never read as a placeholder again. -#}
    {%- set text -%}
        if(
            starts_with(part, '{'),
            (
                select placeholder.value
                from unnest({{ placeholders }}) as placeholder
                where concat('{', placeholder.name, '}') = part
            ),
            part
        )
    {%- endset -%}
    (
        select
            if(
                logical_and({{ text }} is not null),
                string_agg({{ text }}, '' order by position),
                null
            )
        from
            unnest(
                regexp_extract_all({{ body }}, r'\{[^{}]*\}|[^{]+|\{')
            ) as part with offset as position
    )
{%- endmacro %}
