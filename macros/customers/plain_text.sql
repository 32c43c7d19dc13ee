{% macro plain_text(text) -%}
    {#- Capital letters without accents; all kinds of spaces and dashes become the ASCII ones. -#}
    regexp_replace(
        regexp_replace(
            upper(regexp_replace(normalize({{ text }}, nfd), r'\p{Mn}', '')), r'[\s\p{Z}]+', ' '
        ),
        r'\p{Pd}',
        '-'
    )
{%- endmacro %}
