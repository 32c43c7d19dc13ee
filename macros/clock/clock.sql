{% macro run_instant() %}
    {%- set as_of = var("as_of", "") -%}
    {%- if not as_of -%}
        {{ return(run_started_at.astimezone(modules.pytz.utc)) }}
    {%- endif -%}
    {#- YAML reads an unquoted instant as a datetime already. -#}
    {%- set instant = modules.datetime.datetime.fromisoformat(as_of | string) -%}
    {%- if instant.utcoffset() is none -%}
        {{ exceptions.raise_compiler_error(
            "as_of '" ~ as_of ~ "' has no offset from UTC: write 2026-11-23T10:00:00-03:00"
        ) }}
    {%- endif -%}
    {{ return(instant.astimezone(modules.pytz.utc)) }}
{% endmacro %}

{% macro now() -%}
    timestamp '{{ run_instant().strftime("%Y-%m-%d %H:%M:%S.%f+00:00") }}'
{%- endmacro %}

{% macro local_now() %}
    {{ return(run_instant().astimezone(modules.pytz.timezone(var("timezone")))) }}
{% endmacro %}

{% macro today() -%}
    date '{{ local_now().strftime("%Y-%m-%d") }}'
{%- endmacro %}

{% macro local_date(instant) -%}
    date({{ instant }}, '{{ var("timezone") }}')
{%- endmacro %}

{% macro local_midnight(business_date) -%}
    timestamp({{ business_date }}, '{{ var("timezone") }}')
{%- endmacro %}
