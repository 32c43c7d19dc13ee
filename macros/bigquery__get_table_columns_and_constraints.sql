{#- bqemulator 1.4.0 passes CREATE TABLE … AS on to DuckDB, which takes no column list there. On
    the local target the contract is still compared with the query's columns, not with NOT NULL. -#}
{% macro bigquery__get_table_columns_and_constraints() -%}
    {%- if target.name != "local" -%} {{ default__get_table_columns_and_constraints() }} {%- endif -%}
{%- endmacro %}
