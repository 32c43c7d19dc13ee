{% macro plain_text(text) -%}
    {#- Capital letters without accents, and blanks and dashes as ASCII has them. -#}
    regexp_replace(
        regexp_replace(
            upper(regexp_replace(normalize({{ text }}, nfd), r'\p{Mn}', '')), r'[\s\p{Z}]+', ' '
        ),
        r'\p{Pd}',
        '-'
    )
{%- endmacro %}
