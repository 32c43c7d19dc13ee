{% macro is_placeholder(text, placeholders) -%}
    {%- set patterns = [] -%}
    {%- for placeholder in placeholders -%}
        {%- do patterns.append(placeholder | replace(".", "[.]")) -%}
    {%- endfor -%}
    {%- if patterns -%}
        coalesce(
            regexp_contains(
                {{ plain_text(text) }},
                {{ sql_text("^(?:" ~ patterns | join("|") ~ ")(?:[^A-Z0-9]|$)") }}
            ),
            false
        )
    {%- else -%} false
    {%- endif -%}
{%- endmacro %}
