"""A mistake in each macro."""

from __future__ import annotations

from tests.mistakes import Mistake

_DECISIONS = "campaign_decisions"
_FACTS = "customer_facts"

IN_MACROS = (
    Mistake(
        "macros/campaigns/birthday_in_year.sql",
        "date_add({{ birthday }}",
        "date_ad({{ birthday }}",
        _DECISIONS,
        "date_ad",
    ),
    Mistake("macros/campaigns/loyalty.sql", "date_sub(", "date_subb(", _FACTS, "date_subb"),
    Mistake(
        "macros/campaigns/loyalty.sql",
        "struct('{{ name }}'",
        "struckt('{{ name }}'",
        _DECISIONS,
        "struckt",
    ),
    Mistake(
        "macros/campaigns/messages.sql",
        "starts_with(part, '{') or",
        "start_with(part, '{') or",
        _DECISIONS,
        "start_with",
    ),
    Mistake(
        "macros/campaigns/messages.sql",
        "placeholder.value as text",
        "placeholder.val as text",
        _DECISIONS,
        "val",
    ),
    Mistake("macros/campaigns/messages.sql", "json_set(", "jsonset(", _DECISIONS, "jsonset"),
    Mistake(
        "macros/campaigns/send_window.sql",
        "extract(hour from",
        "extract(houre from",
        _DECISIONS,
        "houre",
    ),
    Mistake(
        "macros/campaigns/yields_to_twin.sql",
        "by registered_at",
        "by registred_at",
        _DECISIONS,
        "registred_at",
    ),
    Mistake("macros/clock/clock.sql", "timestamp '{{", "timestampp '{{", _FACTS, "timestampp"),
    Mistake("macros/clock/clock.sql", "date '{{", "dates '{{", _FACTS, "dates"),
    Mistake("macros/clock/clock.sql", "date({{ instant }}", "dat({{ instant }}", _FACTS, "dat"),
    Mistake(
        "macros/clock/clock.sql",
        "timestamp({{ business",
        "timestmp({{ business",
        _FACTS,
        "timestmp",
    ),
    Mistake("macros/customers/first_name.sql", "initcap(", "init_cap(", _DECISIONS, "init_cap"),
    Mistake(
        "macros/customers/is_document_id.sql",
        "byte_length(",
        "bytes_length(",
        _FACTS,
        "bytes_length",
    ),
    Mistake(
        "macros/customers/normalize_cpf.sql", "repeat(substr", "repeats(substr", _FACTS, "repeats"
    ),
    Mistake(
        "macros/customers/normalize_phone.sql",
        "regexp_contains(",
        "regex_contains(",
        _FACTS,
        "regex_contains",
    ),
    Mistake(
        "macros/figures/counting.sql",
        "timestamp_add(",
        "timestamp_ad(",
        "campaign_conversions",
        "timestamp_ad",
    ),
    Mistake(
        "macros/figures/wilson_bound.sql", "safe_divide(", "safe_div(", "campaign_lift", "safe_div"
    ),
    Mistake(
        "macros/vouchers/voucher_code.sql",
        "cast(null as string)",
        "cast(nul as string)",
        _DECISIONS,
        "nul",
    ),
)

# In the Jinja of macros: no SQL comes out of it.
IN_JINJA = (
    Mistake(
        "macros/campaigns/send_window.sql",
        'setting("send_from_hour"),',
        'setting("send_from"),',
        _DECISIONS,
        "send_from",
    ),
    Mistake(
        "macros/clock/clock.sql", "instant.utcoffset()", "instant.utcofset()", _FACTS, "utcofset"
    ),
    Mistake(
        "macros/clock/clock.sql",
        'timezone(var("timezone"))',
        'timezone(var("time_zone"))',
        _FACTS,
        "time_zone",
    ),
    Mistake(
        "macros/dbt/bigquery__get_table_columns_and_constraints.sql",
        "target.name",
        "target.nam()",
        "campaign_targets",
        "nam",
    ),
    Mistake(
        "macros/dbt/is_incremental.sql",
        "dbt.is_incremental()",
        "dbt.is_incrementl()",
        "messages",
        "is_incrementl",
    ),
    Mistake("macros/dbt/job_labels.sql", "tojson(labels)", "to_json(labels)", _FACTS, "to_json"),
    Mistake(
        "macros/figures/counting.sql",
        "{{ figures_start() }}",
        "{{ figure_start() }}",
        "messages",
        "figure_start",
    ),
    Mistake(
        "macros/settings/cnpj_is_valid.sql", "symbols.index(", "symbol.index(", _FACTS, "symbol"
    ),
    Mistake(
        "macros/settings/run_vars.sql",
        "cnpj_is_valid(cnpj)",
        "cnpj_valid(cnpj)",
        _FACTS,
        "cnpj_valid",
    ),
    Mistake(
        "macros/settings/run_vars.sql",
        "problems = run_var_problems()",
        "problems = run_vars_problems()",
        _FACTS,
        "run_vars_problems",
    ),
    Mistake(
        "macros/settings/setting.sql",
        "if setting_problem(",
        "if settings_problem(",
        _DECISIONS,
        "settings_problem",
    ),
    Mistake(
        "macros/settings/setting_rules.sql",
        "if not setting_is_taken(",
        "if not settings_taken(",
        _DECISIONS,
        "settings_taken",
    ),
    Mistake(
        "macros/settings/setting_rules.sql",
        "ascends(value.values()",
        "ascend(value.values()",
        _DECISIONS,
        "ascend",
    ),
    Mistake(
        "macros/settings/setting_rules.sql",
        "numbers | unique",
        "numbers | uniq",
        _DECISIONS,
        "uniq",
    ),
)

# In SQL that only a table that is there already takes.
IN_UPDATES = (Mistake("macros/figures/counting.sql", '" day)"', '" dayz)"', "messages", "dayz"),)
