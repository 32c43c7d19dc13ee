{% macro first_name(name) -%}
    {#- WhatsApp refuses a parameter with line breaks or tabs, however they got into a name. -#}
    coalesce(
        initcap(regexp_extract({{ name }}, r'[^\s\p{Z}\p{Cc}]+')), 'cliente'
    )
{%- endmacro %}
