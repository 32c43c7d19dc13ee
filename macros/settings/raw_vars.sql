{#- `var` renders a text as Jinja, which could use run_query and env_var. So the raw values of the
    command line are checked before any of them is read by `var`. -#}
{% macro raw_var_problems() %}
    {%- set problems = [] -%}
    {%- set values = invocation_args_dict.vars or {} -%}
    {%- if holds_braces(values) -%}
        {%- for name, value in values.items() if holds_braces(name) or holds_braces(value) -%}
            {%- do problems.append(
                "a var or its value has a brace, which dbt would run as Jinja: leave { and } out of "
                ~ ("its name" if holds_braces(name) else name)
            ) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- for name in ["settings", "setting_rules"] if name in values -%}
        {%- do problems.append(
            name ~ " is not passed on a command line: each setting is a var of its own"
        ) -%}
    {%- endfor -%}
    {{ return(problems) }}
{% endmacro %}

{% macro holds_braces(value) %}
    {%- if value is string -%} {{ return("{" in value or "}" in value) }} {%- endif -%}
    {%- if value is not mapping and value is not sequence -%} {{ return(false) }} {%- endif -%}
    {#- Each call of a macro costs dbt a tenth of a millisecond, and all vars are checked before
        every statement. So this does not call itself for each part: it looks at the value as Python
        writes it, in which a text stands in quotes, and no text may have a brace. -#}
    {%- set texts_without = (
        "(?:[^'\"]|'(?:[^'{}\\\\]|\\\\.)*'|\"(?:[^\"{}\\\\]|\\\\.)*\")*"
    ) -%}
    {{ return(modules.re.fullmatch(texts_without, value | string) is none) }}
{% endmacro %}

{% macro checked_cnpj() %}
    {#- The CNPJ becomes the name of a dataset, which dbt creates before its hooks run. -#}
    {%- set problems = raw_var_problems() or cnpj_problems() -%}
    {%- if problems -%} {{ exceptions.raise_compiler_error(problems | join("; ")) }} {%- endif -%}
    {{ return(var("cnpj")) }}
{% endmacro %}

{% macro cnpj_problems() %}
    {%- set cnpj = var("cnpj") -%}
    {#- `dbt parse`, `dbt docs generate` and tools that compile run with the placeholder. -#}
    {%- set writes = ["build", "run", "seed", "snapshot", "test", "run-operation", "clone"] -%}
    {%- if cnpj is string and (
        cnpj_is_valid(cnpj) or (cnpj == "0" * 14 and flags.WHICH not in writes)
    ) -%}
        {{ return([]) }}
    {%- endif -%}
    {{ return([
        "cnpj=" ~ shown(cnpj) ~ " is not a CNPJ: pass --vars '{cnpj: \"12ABC34501DE35\"}', quoted, "
        ~ "14 characters without punctuation, upper case, with its own check digits"
    ]) }}
{% endmacro %}

{% macro shown(value) %}
    {#- A text can be anybody's name or phone. -#}
    {%- if value is none -%} {{ return("empty") }}
    {%- elif value is string and value == "0" * 14 -%} {{ return("the placeholder " ~ value) }}
    {%- elif value is number or value is boolean -%} {{ return(value | string | lower) }}
    {%- endif -%}
    {{ return(type_in_words(value)) }}
{% endmacro %}
