{#- All statements of dbt's materializations, tests and `run_query` go through this macro. Direct
    calls of the adapter do not: `vmhub` checks those, too (loader/dbt/boundary.py), and IAM is a
    last barrier behind both checks. -#}
{% macro statement(name=None, fetch_result=False, auto_begin=True, language="sql") %}
    {%- if execute -%}
        {%- set sql = caller() -%}
        {%- do assert_own_tables(sql) -%}
        {%- call dbt.statement(name, fetch_result, auto_begin, language) -%}
            {{ sql }}
        {%- endcall -%}
    {%- endif -%}
{% endmacro %}

{% macro assert_own_tables(sql) %}
    {%- set cnpj = checked_cnpj() -%}
    {%- set named = modules.re.findall(
        "(?i)(?<![0-9A-Z])[0-9A-Z]{12}[0-9]{2}_(?:RAW|CAMPAIGN|PREVIEW)(?![0-9A-Z_])", sql
    ) -%}
    {%- set foreign = named | reject("in", own_datasets(cnpj)) | list -%}
    {%- set schemas = (
        modules.re.findall("(?i)([\\w-]+)[`.\\s]+INFORMATION_SCHEMA\\b", sql)
        if "INFORMATION_SCHEMA" in sql | upper
        else []
    ) -%}
    {%- set foreign_schemas = schemas | reject("in", own_datasets(cnpj)) | list -%}
    {%- set dynamic = modules.re.search(
        "(?i)(?:^|;)\\s*(execute\\s+immediate|call|export|load|declare|begin)\\b"
        ~ "|\\b(external_query)\\s*\\(",
        sql,
    ) -%}
    {%- if foreign -%}
        {{ exceptions.raise_compiler_error(
            "Refused before it was sent: a statement of " ~ cnpj ~ " names " ~ foreign[0]
        ) }}
    {%- elif foreign_schemas -%}
        {{ exceptions.raise_compiler_error(
            "Refused before it was sent: a statement of " ~ cnpj ~ " reads the INFORMATION_SCHEMA of "
            ~ foreign_schemas[0]
        ) }}
    {%- elif dynamic -%}
        {{ exceptions.raise_compiler_error(
            "Refused before it was sent: a statement of " ~ cnpj ~ " has "
            ~ (dynamic.group(1) or dynamic.group(2)) | upper
            ~ ", which could reach tables that no check sees"
        ) }}
    {%- endif -%}
{% endmacro %}

{% macro own_datasets(cnpj) %}
    {{ return([cnpj ~ "_RAW", cnpj ~ "_CAMPAIGN", cnpj ~ "_PREVIEW"]) }}
{% endmacro %}
