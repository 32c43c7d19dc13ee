{% macro setting_problem(name, settings, defaults) %}
    {#- loader/dbt/setting_rules.py reads the same rules in the same way. -#}
    {%- set value = settings[name] -%}
    {%- if value is none -%}
        {{ return("" if defaults[name] is none else "a value such as " ~ defaults[name]) }}
    {%- endif -%}
    {%- if value is not number -%}
        {%- if holds_braces(value) -%}
            {{ return("no { or }, which dbt would run as Jinja") }}
        {%- elif not is_small(value) -%}
            {{ return("at most 50 entries, and texts of at most 200 characters") }}
        {%- endif -%}
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
    {%- if value is not number and value is not boolean -%}
        {{ return(
            "a number, or a yes or no: a text, a list or a map needs a rule in setting_rules"
        ) }}
    {%- endif -%}
    {{ return("") }}
{% endmacro %}

{% macro is_small(value) %}
    {%- if value is string -%} {{ return(value | length <= 200) }}
    {%- elif value is mapping or value is sequence -%}
        {%- if value | length > 50 -%} {{ return(false) }} {%- endif -%}
        {%- for item in (value.items() if value is mapping else value) if not is_small(item) -%}
            {{ return(false) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return(true) }}
{% endmacro %}

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
    {%- elif rule.is_boolean -%} {{ return(value is boolean) }}
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

{% macro ascends(numbers) %}
    {%- if not numbers or numbers | reject("integer") | list or numbers[0] < 1 -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(numbers | list == numbers | unique | sort) }}
{% endmacro %}

{% macro type_in_words(value) %}
    {%- if value is boolean -%} {{ return("a yes or no (true or false)") }}
    {%- elif value is integer -%} {{ return("a whole number") }}
    {%- elif value is string -%} {{ return("a text") }}
    {%- elif value is number -%} {{ return("a number") }}
    {%- elif value is mapping -%} {{ return("a map") }}
    {%- else -%} {{ return("a list") }}
    {%- endif -%}
{% endmacro %}
