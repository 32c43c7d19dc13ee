{% macro first_name(name) -%}
    {#- WhatsApp refuses a parameter with line breaks or tabs. A word with one of / @ : . or a digit
        is a link, an address or a number, which must not be sent; a word without a letter is no
        name. -#}
    coalesce(
        if(
            {{ is_placeholder(name, setting("name_placeholders")) }},
            null,
            initcap(
                regexp_extract(
                    regexp_extract({{ name }}, r'[^\s\p{Z}\p{Cc}]+'),
                    r'^[^/@:.\p{N}]*[\p{L}\p{S}][^/@:.\p{N}]*$'
                )
            )
        ),
        'cliente'
    )
{%- endmacro %}
