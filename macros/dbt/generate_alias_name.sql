{% macro generate_alias_name(custom_alias_name=none, node=none) -%}
    {#- A preview and its baseline are in one dataset: both are needed to explain a difference. -#}
    {{ default__generate_alias_name(custom_alias_name, node) | trim }}
    {{- "__baseline" if var("preview") == "baseline" -}}
{%- endmacro %}
