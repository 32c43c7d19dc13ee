{% macro are_met(triggers) -%}
    {#- `vmhub explain` asks for those too who are no candidates. -#}
    {%- if var("with_non_candidates") -%} true
    {%- else -%} {{ triggers | map(attribute="condition") | join(" and ") }}
    {%- endif -%}
{%- endmacro %}
