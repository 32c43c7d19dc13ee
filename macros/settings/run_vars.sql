{% macro run_var_problems() %}
    {%- set problems = [] -%}
    {%- set cnpj = var("cnpj") | string -%}
    {%- if not cnpj_is_valid(cnpj) -%}
        {%- do problems.append(
            "cnpj '" ~ cnpj ~ "' is not a CNPJ: pass --vars '{cnpj: \"12ABC34501DE35\"}', quoted, "
            ~ "14 characters without punctuation, upper case, with its own check digits"
        ) -%}
    {%- endif -%}
    {%- if var("timezone") not in modules.pytz.all_timezones_set -%}
        {%- do problems.append(
            "timezone '" ~ var("timezone") ~ "' is not an IANA time zone such as America/Manaus"
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
    {%- set types = var("campaigns") | map("upper") | list -%}
    {%- for name in campaign_lists -%}
        {%- set value = var(name) -%}
        {%- if (
            value is string or value is not sequence or value | reject("in", types) | list
        ) -%}
            {%- do problems.append(
                name ~ "=" ~ value | pprint ~ " takes a list of " ~ types | join(", ")
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set settings = {} -%}
    {%- for name in defaults -%} {%- do settings.update({name: var(name)}) -%} {%- endfor -%}
    {%- for name in defaults -%}
        {%- set expected = setting_problem(name, settings, defaults) -%}
        {%- if expected -%}
            {%- do problems.append(
                name ~ "=" ~ settings[name] | pprint ~ " takes " ~ expected
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(problems) }}
{% endmacro %}

{% macro assert_run_vars() %}
    {#- `dbt parse` and `dbt docs generate` render hooks too, with the placeholder. -#}
    {%- if not execute or flags.WHICH == "generate" -%} {{ return("") }} {%- endif -%}
    {%- do run_instant() -%}
    {%- set problems = run_var_problems() -%}
    {%- if problems -%} {{ exceptions.raise_compiler_error(problems | join("; ")) }} {%- endif -%}
{% endmacro %}
