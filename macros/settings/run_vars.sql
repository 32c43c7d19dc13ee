{% macro run_var_problems() %}
    {%- set problems = raw_var_problems() -%}
    {%- if problems -%} {{ return(problems) }} {%- endif -%}
    {%- set problems = cnpj_problems() -%}
    {%- set timezone = var("timezone") -%}
    {%- if timezone is not string or timezone not in modules.pytz.all_timezones_set -%}
        {%- do problems.append(
            "timezone=" ~ shown(timezone) ~ " is not an IANA time zone such as America/Manaus"
        ) -%}
    {%- endif -%}
    {%- if as_of_problem() -%} {%- do problems.append(as_of_problem()) -%} {%- endif -%}
    {%- if var("preview") not in ["", "preview", "baseline"] -%}
        {%- do problems.append(
            "preview=" ~ shown(var("preview")) ~ " takes preview, baseline or nothing"
        ) -%}
    {%- endif -%}
    {%- if var("with_non_candidates") is not boolean -%}
        {%- do problems.append(
            "with_non_candidates=" ~ shown(var("with_non_candidates"))
            ~ " takes true or false, without quotes"
        ) -%}
    {%- elif var("with_non_candidates") and flags.WHICH in ["build", "run", "snapshot", "test"] -%}
        {%- do problems.append(
            "with_non_candidates is for questions: a build with it would publish people who "
            ~ "qualify for nothing; leave it out"
        ) -%}
    {%- endif -%}
    {%- set campaign_lists = [
        "enabled_campaigns", "deferrable_campaigns", "personal_campaigns", "sales_campaigns"
    ] -%}
    {%- set defaults = var("settings") -%}
    {%- set known = (
        ["cnpj", "as_of", "preview", "with_non_candidates", "timezone", "campaigns"]
        + campaign_lists
        + defaults | list
    ) -%}
    {%- for name in invocation_args_dict.vars or {} if name not in known -%}
        {%- do problems.append(
            "there is no setting '" ~ name ~ "', only " ~ defaults | sort | join(", ")
        ) -%}
    {%- endfor -%}
    {%- if not are_names(var("campaigns")) -%}
        {%- do problems.append(
            "campaigns=" ~ shown(var("campaigns")) ~ " takes a list of the names of models"
        ) -%}
        {{ return(problems) }}
    {%- endif -%}
    {%- set types = var("campaigns") | map("upper") | list -%}
    {%- for name in campaign_lists -%}
        {%- set value = var(name) -%}
        {%- if value is string or value is not sequence or value is mapping
            or value | length > types | length or value | reject("in", types) | list -%}
            {%- do problems.append(
                name ~ "=" ~ shown(value) ~ " takes a list of " ~ types | join(", ")
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set settings = {} -%}
    {%- for name in defaults -%} {%- do settings.update({name: var(name)}) -%} {%- endfor -%}
    {%- for name in defaults -%}
        {%- set expected = setting_problem(name, settings, defaults) -%}
        {%- if expected -%}
            {%- do problems.append(
                name ~ "=" ~ shown(settings[name]) ~ " takes " ~ expected
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(problems) }}
{% endmacro %}

{% macro are_names(value) %}
    {%- if value is string or value is not sequence or value is mapping or value | length > 50 -%}
        {{ return(false) }}
    {%- endif -%}
    {%- for name in value
        if name is not string or not modules.re.fullmatch("[a-z][a-z0-9_]{0,40}", name) -%}
        {{ return(false) }}
    {%- endfor -%}
    {{ return(true) }}
{% endmacro %}

{% macro assert_run_vars() %}
    {#- dbt renders this hook twice: while it parses, before anything is sent to BigQuery, and at
        the start of a run, since the parse may be a saved one of another command. -#}
    {%- set problems = run_var_problems() -%}
    {%- if problems -%} {{ exceptions.raise_compiler_error(problems | join("; ")) }} {%- endif -%}
{% endmacro %}
