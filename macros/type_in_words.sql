{% macro type_in_words(value) %}
    {%- if value is boolean -%} {{ return("a yes or no (true or false)") }}
    {%- elif value is integer -%} {{ return("a whole number") }}
    {%- elif value is string -%} {{ return("a text") }}
    {%- elif value is number -%} {{ return("a number") }}
    {%- elif value is mapping -%} {{ return("a map") }}
    {%- else -%} {{ return("a list") }}
    {%- endif -%}
{% endmacro %}
