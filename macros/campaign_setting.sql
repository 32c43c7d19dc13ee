{% macro campaign_setting(campaign, name) %}
    {{ return(var(campaign ~ "_" ~ name, none)) }}
{% endmacro %}
