"""A mistake in each model, and in what asks or tests them."""

from __future__ import annotations

from tests.mistakes import Mistake

_DECISIONS = "campaign_decisions"
_FACTS = "customer_facts"

IN_MODELS = (
    Mistake(
        "models/campaigns/welcome.sql",
        "    from checked\n",
        "    from cheked\n",
        _DECISIONS,
        "cheked",
    ),
    Mistake(
        "models/staging/stg_customers.sql",
        "                        nome,",
        "                        nomee,",
        _FACTS,
        "nomee",
    ),
    Mistake(
        "models/staging/stg_messages.sql",
        "coalesce(attempt,",
        "coalesce(atempt,",
        "messages",
        "atempt",
    ),
    Mistake(
        "models/staging/stg_opt_outs.sql", "if(trim(user_id)", "iff(trim(user_id)", _FACTS, "iff"
    ),
    Mistake("models/staging/stg_sales.sql", "safe_cast(valor", "safe_cast(valr", _FACTS, "valr"),
    Mistake(
        "models/customers/customer_facts.sql", "max(sold_on)", "max(sold_day)", _FACTS, "sold_day"
    ),
    Mistake(
        "models/campaigns/birthday.sql",
        "from born_on) as age",
        "from borne_on) as age",
        _DECISIONS,
        "borne_on",
    ),
    Mistake(
        "models/campaigns/loyalty.sql",
        "cast(loyalty_visits as string) as actual",
        "cast(loyalty_vists as string) as actual",
        _DECISIONS,
        "loyalty_vists",
    ),
    Mistake(
        "models/campaigns/reactivation.sql",
        "days_inactive as days_inactive",
        "days_inactiv as days_inactive",
        _DECISIONS,
        "days_inactiv",
    ),
    Mistake(
        "models/campaigns/welcome.sql",
        "registered_on, day)",
        "registred_on, day)",
        _DECISIONS,
        "registred_on",
    ),
    Mistake(
        "models/targets/campaign_decisions.sql",
        "blocked.has_opted_out",
        "blocked.has_opt_out",
        _DECISIONS,
        "has_opt_out",
    ),
    Mistake(
        "models/targets/campaign_targets.sql",
        "array_length(blockers)",
        "array_length(blocker)",
        "campaign_targets",
        "blocker",
    ),
    Mistake(
        "models/targets/target_publication.sql",
        "{{ now() }}",
        "{{ right_now() }}",
        "target_publication",
        "right_now",
    ),
    Mistake(
        "models/tracking/campaign_conversions.sql",
        "min(sold_at)",
        "min(sold)",
        "campaign_conversions",
        "sold",
    ),
    Mistake(
        "models/tracking/campaign_lift.sql",
        "countif(outcomes.is_treated)",
        "countif(outcomes.is_treted)",
        "campaign_lift",
        "is_treted",
    ),
    Mistake(
        "models/tracking/campaign_performance.sql",
        "countif(is_replied)",
        "countif(is_repliedd)",
        "campaign_performance",
        "is_repliedd",
    ),
    Mistake(
        "models/tracking/messages.sql",
        "attempts.updated_at",
        "attempts.update_at",
        "messages",
        "update_at",
    ),
    Mistake(
        "models/tracking/target_log.sql",
        "max(last_seen_at)",
        "max(last_saw_at)",
        "target_log",
        "last_saw_at",
    ),
    Mistake(
        "models/tracking/voucher_rates.sql",
        "sum(revenue_brl)",
        "sum(revenue)",
        "voucher_rates",
        "revenue",
    ),
    Mistake(
        "models/tracking/voucher_redemptions.sql",
        "sum(sales.amount_brl)",
        "sum(sales.amount)",
        "voucher_redemptions",
        "amount",
    ),
    Mistake(
        "models/operations/run_health.sql",
        "sum(writes_sent)",
        "sum(writes_send)",
        "run_health",
        "writes_send",
    ),
)

IN_TESTS = (
    Mistake(
        "macros/tests/is_false.sql",
        "where {{",
        "where not_there and {{",
        "test_is_false",
        "not_there",
    ),
    Mistake(
        "macros/tests/possible_instant.sql",
        "where {{",
        "where not_there and {{",
        "test_possible_instant",
        "not_there",
    ),
    Mistake(
        "macros/tests/matches.sql",
        "regexp_contains(",
        "regex_contains(",
        "test_matches",
        "regex_contains",
    ),
    Mistake("macros/tests/not_blank.sql", "coalesce(", "coalesc(", "test_not_blank", "coalesc"),
    Mistake(
        "macros/tests/unique_together.sql",
        "count(*)",
        "counts(*)",
        "test_unique_together",
        "counts",
    ),
    Mistake(
        "tests/dbt/assert_figures_add_up.sql",
        "delivered > sent",
        "deliverd > sent",
        "assert_figures_add_up",
        "deliverd",
    ),
)

# `vmhub explain` and `vmhub check` ask these; no build does.
IN_EXPLANATIONS = (
    Mistake(
        "models/explanations/data_quality.sql",
        "order by registered_at",
        "order by registred_at",
        "data_quality",
        "registred_at",
    ),
    Mistake(
        "models/explanations/campaign_explanations.sql",
        "decisions.messaged_text",
        "decisions.message_text",
        "campaign_explanations",
        "message_text",
    ),
    Mistake(
        "macros/campaigns/send_window.sql",
        "date_add({{ today() }}",
        "date_ad({{ today() }}",
        "campaign_explanations",
        "date_ad",
    ),
)

# dbt meets these while it parses.
IN_PARSING = (
    Mistake(
        "macros/dbt/generate_schema_name.sql",
        "checked_cnpj()",
        "checked_cnpjj()",
        "",
        "'checked_cnpjj' is undefined",
    ),
    Mistake(
        "macros/dbt/generate_alias_name.sql",
        "default__generate_alias_name(",
        "default__generate_alias_names(",
        "",
        "'default__generate_alias_names' is undefined",
    ),
)
