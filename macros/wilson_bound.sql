{% macro wilson_bound(successes, trials, sign) -%}
    {#- 1.959964 of a normal distribution's standard deviations hold 95 % of it. -#}
    {%- set z = 1.959964 -%}
    (
        {{ successes }} + {{ z * z / 2 }}
        {{ sign }} {{ z }} * sqrt(
            safe_divide({{ successes }} * ({{ trials }} - {{ successes }}), {{ trials }})
            + {{ z * z / 4 }}
        )
    ) / ({{ trials }} + {{ z * z }})
{%- endmacro %}
