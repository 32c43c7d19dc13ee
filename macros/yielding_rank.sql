{% macro yielding_rank(campaign) -%}
    {%- set campaign_type = campaign | upper -%}
    {%- if campaign_type in var("deferrable_campaigns") -%}
        {{ var("deferrable_campaigns").index(campaign_type) }}
    {%- else -%} cast(null as int64)
    {%- endif -%}
{%- endmacro %}
