"""A mistake in each macro."""

from __future__ import annotations

from tests.mistakes import Mistake

_DECISIONS = "campaign_decisions"
_FACTS = "customer_facts"

IN_MACROS = (
    Mistake(
        "macros/campaigns/is_held_out.sql",
        "farm_fingerprint(",
        "farm_fingerprints(",
        _DECISIONS,
        "farm_fingerprints",
    ),
    Mistake(
        "macros/campaigns/failure_counts.sql",
        "regexp_contains(",
        "regex_contains(",
        _FACTS,
        "regex_contains",
    ),
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
        "struct({{ sql_text(name)",
        "struckt({{ sql_text(name)",
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
        "macros/campaigns/sales_are_stale.sql",
        "< timestamp_sub(",
        "< timestamp_subb(",
        _DECISIONS,
        "timestamp_subb",
    ),
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
    Mistake(
        "macros/clock/clock.sql",
        "timestamp {{ sql_text(run",
        "timestampp {{ sql_text(run",
        _FACTS,
        "timestampp",
    ),
    Mistake(
        "macros/clock/clock.sql",
        "date {{ sql_text(local",
        "dates {{ sql_text(local",
        _FACTS,
        "dates",
    ),
    Mistake("macros/clock/clock.sql", "date({{ instant }}", "dat({{ instant }}", _FACTS, "dat"),
    Mistake(
        "macros/clock/clock.sql",
        "timestamp({{ business",
        "timestmp({{ business",
        _FACTS,
        "timestmp",
    ),
    Mistake(
        "macros/clock/safe_instant.sql", ">= timestamp '", ">= timestampp '", _FACTS, "timestampp"
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
        "macros/customers/is_placeholder.sql",
        "regexp_contains(",
        "regex_contains(",
        _DECISIONS,
        "regex_contains",
    ),
    Mistake("macros/customers/normalize_cpf.sql", "= repeat(", "= repeats(", _FACTS, "repeats"),
    Mistake("macros/customers/normalize_cpf.sql", "mod(mod(10", "modd(mod(10", _FACTS, "modd"),
    Mistake(
        "macros/customers/normalize_phone.sql",
        "upper(translate(",
        "upper(translat(",
        _FACTS,
        "translat",
    ),
    Mistake(
        "macros/customers/normalize_phone.sql",
        "r'(?:^|\\|)(?:(?:\\+",
        "rr'(?:^|\\|)(?:(?:\\+",
        _FACTS,
        "rr",
    ),
    Mistake(
        "macros/customers/normalize_phone.sql", "concat('+55'", "concatt('+55'", _FACTS, "concatt"
    ),
    Mistake(
        "macros/customers/plain_text.sql",
        "normalize({{ text }}, nfd)",
        "normalise({{ text }}, nfd)",
        _FACTS,
        "normalise",
    ),
    Mistake(
        "macros/customers/unless_a_placeholder.sql", "if(count(*)", "if(counts(*)", _FACTS, "counts"
    ),
    Mistake(
        "macros/customers/visible_text.sql",
        "        normalize(\n",
        "        normalise(\n",
        _FACTS,
        "normalise",
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
    Mistake(
        "macros/vouchers/voucher_in_text.sql",
        "regexp_contains(voucher",
        "regex_contains(voucher",
        _FACTS,
        "regex_contains",
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
        "macros/clock/clock.sql", "instant.astimezone(", "instant.astimezon(", _FACTS, "astimezon"
    ),
    Mistake(
        "macros/clock/clock.sql",
        "run_instant().astimezone(",
        "run_instants().astimezone(",
        _FACTS,
        "run_instants",
    ),
    Mistake(
        "macros/clock/clock.sql",
        "return(parsed_instant(as_of))",
        "return(parse_instant(as_of))",
        _FACTS,
        "parse_instant",
    ),
    Mistake("macros/clock/clock.sql", "found.group(3)", "found.grop(3)", _FACTS, "grop"),
    Mistake(
        "macros/clock/is_send_day.sql", "day.isoformat()", "day.isoforma()", _DECISIONS, "isoforma"
    ),
    Mistake("macros/customers/normalize_phone.sql", "{{ e164(", "{{ e16(", _FACTS, "e16"),
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
        "macros/dbt/statement.sql",
        "do assert_own_tables(",
        "do assert_own_table(",
        _FACTS,
        "assert_own_table",
    ),
    Mistake(
        "macros/dbt/statement.sql", "= checked_cnpj()", "= checked_cnp()", _FACTS, "checked_cnp"
    ),
    Mistake("macros/dbt/statement.sql", "{{ return([cnpj", "{{ returns([cnpj", _FACTS, "returns"),
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
        "macros/settings/raw_vars.sql",
        "if holds_braces(values)",
        "if hold_braces(values)",
        _FACTS,
        "hold_braces",
    ),
    Mistake(
        "macros/settings/raw_vars.sql",
        "modules.re.fullmatch(texts_without",
        "modules.re.fulmatch(texts_without",
        _FACTS,
        "fulmatch",
    ),
    Mistake(
        "macros/settings/raw_vars.sql",
        "or cnpj_problems()",
        "or cnpjs_problems()",
        _FACTS,
        "cnpjs_problems",
    ),
    Mistake(
        "macros/settings/raw_vars.sql",
        "cnpj_is_valid(cnpj) or",
        "cnpj_valid(cnpj) or",
        _FACTS,
        "cnpj_valid",
    ),
    Mistake("macros/settings/run_vars.sql", "not are_names(", "not is_names(", _FACTS, "is_names"),
    Mistake(
        "macros/customers/pseudonym.sql",
        "left(to_hex(sha256(",
        "left(to_hexx(sha256(",
        _FACTS,
        "to_hexx",
    ),
    Mistake(
        "macros/customers/pseudonym.sql",
        "\"concat('cpf:', \"",
        "\"concatt('cpf:', \"",
        _FACTS,
        "concatt",
    ),
    Mistake(
        "macros/customers/pseudonym.sql",
        "starts_with(cpf, {{ pseudonym_prefix",
        "start_with(cpf, {{ pseudonym_prefix",
        "campaign_lift",
        "start_with",
    ),
    Mistake(
        "macros/settings/run_vars.sql",
        "problems = run_var_problems()",
        "problems = run_vars_problems()",
        _FACTS,
        "run_vars_problems",
    ),
    Mistake(
        "macros/settings/run_vars.sql",
        'modules.re.fullmatch("[a-z]',
        'modules.re.fulmatch("[a-z]',
        _FACTS,
        "fulmatch",
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
    Mistake(
        "macros/settings/setting_rules.sql",
        "if not is_small(item)",
        "if not are_small(item)",
        _FACTS,
        "are_small",
    ),
    Mistake(
        "macros/settings/sql_text.sql", '| replace("\'"', '| replaced("\'"', _FACTS, "replaced"
    ),
)

# In SQL that only a table that is there already takes.
IN_UPDATES = (Mistake("macros/figures/counting.sql", '" day)"', '" dayz)"', "messages", "dayz"),)
