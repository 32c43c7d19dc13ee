{% macro ascends(numbers) %}
    {%- if not numbers or numbers | reject("integer") | list or numbers[0] < 1 -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(numbers | list == numbers | unique | sort) }}
{% endmacro %}
