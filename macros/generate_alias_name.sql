{% macro generate_alias_name(custom_alias_name=none, node=none) -%}
    {#- A preview's tables stand beside those it is compared with, so that both can say why. -#}
    {{ default__generate_alias_name(custom_alias_name, node) | trim }}
    {{- "__baseline" if var("preview") == "baseline" -}}
{%- endmacro %}
