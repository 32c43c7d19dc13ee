{% macro generate_alias_name(custom_alias_name=none, node=none) -%}
    {#- A preview and what it is compared with are in one dataset: both are needed to say why. -#}
    {{ default__generate_alias_name(custom_alias_name, node) | trim }}
    {{- "__baseline" if var("preview") == "baseline" -}}
{%- endmacro %}
