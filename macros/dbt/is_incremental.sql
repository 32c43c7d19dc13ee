{% macro is_incremental() %}
    {#- dbt's own macro asks BigQuery whether the table exists; `make docs` has no connection. -#}
    {{ return(flags.WHICH != "generate" and dbt.is_incremental()) }}
{% endmacro %}
