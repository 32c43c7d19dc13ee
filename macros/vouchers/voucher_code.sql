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
                                [{{ voucher_key() }}, campaign_type, customer_id, cycle_key], '|'
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

{#- A function, since a var would be visible in dbt's artifacts and in BigQuery's list of jobs, and
    reading a table is billed every hour. `vmhub` creates it (loader/bigquery/
    secret_keys.py). -#}
{% macro voucher_key() -%}
    `{{ target.project }}.{{ checked_cnpj() }}_CAMPAIGN.voucher_key`()
{%- endmacro %}
