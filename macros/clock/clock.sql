{% macro run_instant() %}
    {%- set as_of = var("as_of", "") -%}
    {%- if not as_of -%}
        {{ return(run_started_at.astimezone(modules.pytz.utc)) }}
    {%- endif -%}
    {#- dbt renders models while it parses them, before the hook that checks all vars. -#}
    {%- if as_of_problem() -%}
        {{ exceptions.raise_compiler_error(run_var_problems() | join("; ")) }}
    {%- endif -%}
    {{ return(parsed_instant(as_of)) }}
{% endmacro %}

{% macro parsed_instant(as_of) %}
    {#- YAML already turns an unquoted instant into a datetime. -#}
    {%- set instant = modules.datetime.datetime.fromisoformat(as_of | string) -%}
    {{ return(instant.astimezone(modules.pytz.utc)) }}
{% endmacro %}

{% macro as_of_problem() %}
    {%- set as_of = var("as_of", "") -%}
    {%- if as_of == "" -%} {{ return("") }} {%- endif -%}
    {%- set wanted = ": write an instant with its offset, of the years 1900 to 2100, such as "
        ~ "2026-11-23T10:00:00-03:00" -%}
    {%- set found = modules.re.fullmatch(
        "(19\\d\\d|20\\d\\d|2100)-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])"
        ~ "[T ]([01]\\d|2[0-3]):[0-5]\\d(:[0-5]\\d([.]\\d{1,6})?)?"
        ~ "(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)",
        as_of | string,
    ) if as_of is string or as_of.tzinfo is defined else none -%}
    {%- if found is none -%}
        {{ return("as_of=" ~ shown(as_of) ~ wanted) }}
    {%- endif -%}
    {%- set in_next_month = (
        modules.datetime.date(found.group(1) | int, found.group(2) | int, 28)
        + modules.datetime.timedelta(days=4)
    ) -%}
    {%- if found.group(3) | int > 32 - in_next_month.day -%}
        {{ return("as_of names a day that its month does not have" ~ wanted) }}
    {%- endif -%}
    {%- set ahead = parsed_instant(as_of) - run_started_at.astimezone(modules.pytz.utc) -%}
    {%- if (
        ahead > modules.datetime.timedelta(minutes=5)
        and not var("preview")
        and target.name != "local"
        and flags.WHICH in ["build", "run", "snapshot"]
    ) -%}
        {{ return(
            "as_of has not come yet, and a build of it would replace what is live: "
            ~ "set this machine's clock, or look ahead by `vmhub preview`"
        ) }}
    {%- endif -%}
    {{ return("") }}
{% endmacro %}

{% macro now() -%}
    timestamp {{ sql_text(run_instant().strftime("%Y-%m-%d %H:%M:%S.%f+00:00")) }}
{%- endmacro %}

{% macro local_now() %}
    {%- set timezone = var("timezone") -%}
    {%- if timezone is not string or timezone not in modules.pytz.all_timezones_set -%}
        {{ exceptions.raise_compiler_error(run_var_problems() | join("; ")) }}
    {%- endif -%}
    {{ return(run_instant().astimezone(modules.pytz.timezone(timezone))) }}
{% endmacro %}

{% macro today() -%}
    date {{ sql_text(local_now().strftime("%Y-%m-%d")) }}
{%- endmacro %}

{% macro local_date(instant) -%}
    date({{ instant }}, {{ sql_text(var('timezone')) }})
{%- endmacro %}

{% macro local_midnight(business_date) -%}
    timestamp({{ business_date }}, {{ sql_text(var('timezone')) }})
{%- endmacro %}
