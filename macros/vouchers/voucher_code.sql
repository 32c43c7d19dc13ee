{% macro voucher_code(campaign) -%}
    {%- set prefix = setting(campaign ~ "_voucher_prefix") -%}
    {%- if prefix -%}
        concat(
            {{ sql_text(prefix ~ '-') }},
            substr(
                upper(
                    to_hex(
                        sha256(
                            array_to_string(
                                [{{ sql_text(var('cnpj')) }}, campaign_type, customer_id, cycle_key], '|'
                            )
                        )
                    )
                ),
                1,
                8
            )
        )
    {%- else -%} cast(null as string)
    {%- endif -%}
{%- endmacro %}
