{% macro setting(name) %}
    {#- Models are rendered while dbt parses, before the hook that checks all vars: whatever
        computes with a value would fail on a bad one with Python's words. -#}
    {%- if setting_problem(name, {name: var(name)}, var("settings")) -%}
        {{ exceptions.raise_compiler_error(run_var_problems() | join("; ")) }}
    {%- endif -%}
    {{ return(var(name)) }}
{% endmacro %}
