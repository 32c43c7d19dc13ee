{% macro is_incremental() %}
    {#- dbt's own asks BigQuery whether the table is there; `make docs` asks nobody. -#}
    {{ return(flags.WHICH != "generate" and dbt.is_incremental()) }}
{% endmacro %}
