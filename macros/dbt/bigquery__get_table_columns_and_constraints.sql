{#- bqemulator 1.4.0 passes CREATE TABLE … AS to DuckDB, which accepts no column list there. On
    the local target dbt still compares the contract with the query's columns; NOT NULL is not
    checked. -#}
{% macro bigquery__get_table_columns_and_constraints() -%}
    {%- if target.name != "local" -%} {{ default__get_table_columns_and_constraints() }} {%- endif -%}
{%- endmacro %}
