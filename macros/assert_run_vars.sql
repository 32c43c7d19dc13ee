{% macro assert_run_vars() %}
    {#- `dbt parse` renders hooks too, with the placeholder. -#}
    {%- if not execute -%} {{ return("") }} {%- endif -%}
    {%- set cnpj = var("cnpj") | string -%}
    {%- if not cnpj_is_valid(cnpj) -%}
        {{ exceptions.raise_compiler_error(
            "cnpj '" ~ cnpj ~ "' is not a CNPJ: pass --vars '{cnpj: \"12ABC34501DE35\"}', quoted, "
            ~ "14 characters without punctuation, upper case, with its own check digits"
        ) }}
    {%- endif -%}
    {%- if var("timezone") not in modules.pytz.all_timezones_set -%}
        {{ exceptions.raise_compiler_error(
            "timezone '" ~ var("timezone") ~ "' is not an IANA time zone such as America/Manaus"
        ) }}
    {%- endif -%}
    {%- do run_instant() -%}
{% endmacro %}
