{% macro stable_percentile(parts) -%}
    {#- 0 to 99. The remainder comes first: the smallest INT64 has no absolute value. -#}
    abs(mod(farm_fingerprint(array_to_string([{{ parts | join(", ") }}], '|')), 100))
{%- endmacro %}
