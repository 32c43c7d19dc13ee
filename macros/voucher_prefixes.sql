{% macro voucher_prefixes() -%}
    {%- set prefixes = {} -%}
    {%- for campaign in var("campaigns") if campaign_setting(campaign, "voucher_prefix") -%}
        {%- do prefixes.update(
            {campaign | upper: campaign_setting(campaign, "voucher_prefix")}
        ) -%}
    {%- endfor -%}
    {%- if prefixes -%}
        [
            {% for campaign_type, prefix in prefixes.items() -%}
                struct('{{ campaign_type }}' as campaign_type, '{{ prefix }}' as voucher_prefix)
                {%- if not loop.last %},{% endif %}
            {% endfor -%}
        ]
    {%- else -%} array<struct<campaign_type string, voucher_prefix string>>[]
    {%- endif -%}
{%- endmacro %}
