{% macro assert_run_vars() %}
    {#- `dbt parse` and `dbt docs generate` render hooks too, with the placeholder. -#}
    {%- if not execute or flags.WHICH == "generate" -%} {{ return("") }} {%- endif -%}
    {%- do run_instant() -%}
    {%- set problems = run_var_problems() -%}
    {%- if problems -%} {{ exceptions.raise_compiler_error(problems | join("; ")) }} {%- endif -%}
{% endmacro %}
