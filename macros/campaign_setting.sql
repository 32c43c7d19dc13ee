{% macro campaign_setting(campaign, name) %}
    {{ return(setting(campaign ~ "_" ~ name)) }}
{% endmacro %}
