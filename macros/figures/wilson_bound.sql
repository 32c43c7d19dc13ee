{% macro wilson_bound(successes, trials, sign) -%}
    {#- 95 % of a normal distribution is within 1.959964 standard deviations. -#}
    {%- set z = 1.959964 -%}
    (
        {{ successes }} + {{ z * z / 2 }}
        {{ sign }} {{ z }} * sqrt(
            safe_divide({{ successes }} * ({{ trials }} - {{ successes }}), {{ trials }})
            + {{ z * z / 4 }}
        )
    ) / ({{ trials }} + {{ z * z }})
{%- endmacro %}
