{% macro voucher_in_text(column) -%}
    {#- A field whose words or signs mean “no coupon” is not a coupon. -#}
    (
        select
            if(
                regexp_contains(voucher, r'[\p{L}\p{N}]')
                and {{ plain_text('voucher') }}
                not in unnest({{ sql_text(setting('voucher_placeholders')) }}),
                voucher,
                null
            )
        from unnest([{{ visible_text(column) }}]) as voucher
    )
{%- endmacro %}
