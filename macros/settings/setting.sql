{% macro setting(name) %}
    {#- dbt renders models while it parses them, before the hook that checks all vars. Without this
        check, a computation with a wrong value would fail with a Python error. -#}
    {%- if setting_problem(name, {name: var(name)}, var("settings")) -%}
        {{ exceptions.raise_compiler_error(run_var_problems() | join("; ")) }}
    {%- endif -%}
    {{ return(var(name)) }}
{% endmacro %}
