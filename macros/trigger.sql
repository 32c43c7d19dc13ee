{% macro trigger(fact, actual, operator, needed, changes_on="cast(null as date)") %}
    {#- The condition and what `vmhub explain` says of it come from the same two values. -#}
    {%- set words = {"=": "", ">": "more than ", ">=": "at least ", "<=": "at most "} -%}
    {{ return({
        "condition": "coalesce(" ~ actual ~ " " ~ operator ~ " " ~ needed ~ ", false)",
        "fact": fact,
        "actual": actual,
        "needed": "concat('" ~ words[operator] ~ "', cast(" ~ needed ~ " as string))",
        "changes_on": changes_on,
    }) }}
{% endmacro %}
