{% macro voucher_valid_until(campaign) -%}
    {%- if campaign_setting(campaign, "voucher_prefix") -%}
        date_add(
            {{ today() }}, interval {{ campaign_setting(campaign, "voucher_valid_days") }} day
        )
    {%- else -%} cast(null as date)
    {%- endif -%}
{%- endmacro %}
