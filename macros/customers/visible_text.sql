{% macro visible_text(text) -%}
    {#- Removes invisible characters: marks of direction and width, fillers, variant selectors. NFC
        makes two ways to encode é the same. -#}
    trim(
        normalize(
            regexp_replace(
                {{ text }},
                r'[\p{Cf}\x{034F}\x{115F}\x{1160}\x{17B4}\x{17B5}\x{180B}-\x{180F}\x{2800}\x{3164}\x{FE00}-\x{FE0F}\x{FFA0}\x{E0100}-\x{E01EF}]',
                ''
            ),
            nfc
        )
    )
{%- endmacro %}
