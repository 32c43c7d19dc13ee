{% macro setting_is_taken(value, rule) %}
    {%- set is_list = value is sequence and value is not string and value is not mapping -%}
    {%- if rule.one_of -%} {{ return(value in rule.one_of) }}
    {%- elif rule.list_of -%}
        {{ return(
            is_list and value | length > 0 and value | reject("in", rule.list_of) | list == []
        ) }}
    {%- elif rule.pattern -%}
        {{ return(value is string and modules.re.fullmatch(rule.pattern, value) is not none) }}
    {%- elif rule.item_pattern -%}
        {%- if not is_list -%} {{ return(false) }} {%- endif -%}
        {%- for item in value -%}
            {%- if item is not string or not modules.re.fullmatch(rule.item_pattern, item) -%}
                {{ return(false) }}
            {%- endif -%}
        {%- endfor -%}
        {{ return(true) }}
    {%- elif rule.is_ascending -%} {{ return(is_list and ascends(value)) }}
    {%- elif rule.key_pattern -%}
        {%- if value is not mapping or value.values() | reject("integer") | list -%}
            {{ return(false) }}
        {%- endif -%}
        {%- for key in value -%}
            {%- if key is not string or not modules.re.fullmatch(rule.key_pattern, key) -%}
                {{ return(false) }}
            {%- endif -%}
        {%- endfor -%}
        {{ return(ascends(value.values() | sort)) }}
    {%- else -%} {{ return(value is integer and rule.least <= value <= rule.most) }}
    {%- endif -%}
{% endmacro %}
