{% macro setting_problem(name, settings, defaults) %}
    {#- loader/dbt/setting_rules.py says the same of the same rules. -#}
    {%- set value = settings[name] -%}
    {%- if value is none -%}
        {{ return("" if defaults[name] is none else "a value such as " ~ defaults[name]) }}
    {%- endif -%}
    {%- for rule in var("setting_rules") if modules.re.fullmatch(rule.names, name) -%}
        {%- if not setting_is_taken(value, rule) -%}
            {{ return(
                rule.takes or "a whole number from " ~ rule.least ~ " to " ~ rule.most
            ) }}
        {%- endif -%}
        {%- set limit = settings[rule.less_than] if rule.less_than else none -%}
        {%- if limit is integer and value >= limit -%}
            {{ return("less than " ~ rule.less_than ~ ", which is " ~ limit) }}
        {%- endif -%}
        {{ return("") }}
    {%- endfor -%}
    {%- if defaults[name] is not none and type_in_words(value) != type_in_words(defaults[name]) -%}
        {{ return(type_in_words(defaults[name]) ~ " such as " ~ defaults[name]) }}
    {%- endif -%}
    {{ return("") }}
{% endmacro %}
