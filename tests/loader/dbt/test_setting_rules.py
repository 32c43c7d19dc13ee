"""Every setting accepts its valid values, and explains what it takes when it gets another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from loader.dbt.setting_rules import holds_braces, setting_problem
from loader.dbt.spec import BuildSpec
from tests.support import ALPHANUMERIC_CNPJ, AS_OF

if TYPE_CHECKING:
    from collections.abc import Callable

    from loader.dbt.project import Project
    from loader.services import Services


@pytest.fixture
def problem(project: Project) -> Callable[..., str]:
    """Return the problem of a setting; the other settings have their defaults."""
    variables = project.variables()
    defaults, rules = variables["settings"], variables["setting_rules"]

    def find(name: str, value: Any, **others: Any) -> str:
        settings = {**defaults, **others, name: value}
        # A setting of a new campaign gets a default of the same type as the value.
        known = {**dict.fromkeys(settings, 1), **defaults}
        return setting_problem(name, settings, known, rules)

    return find


def test_every_default_is_itself_allowed(project: Project, problem: Callable[..., str]) -> None:
    for name, default in project.variables()["settings"].items():
        assert problem(name, default) == "", name


def test_every_rule_is_some_settings_first(project: Project) -> None:
    variables = project.variables()
    decisive = {
        next(
            (
                rule["names"]
                for rule in variables["setting_rules"]
                if re.fullmatch(rule["names"], name)
            ),
            "",
        )
        for name in variables["settings"]
    }
    assert decisive == {rule["names"] for rule in variables["setting_rules"]}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("send_from_hour", [0, 23]),
        ("loyalty_send_from_hour", [0, 23]),
        ("send_until_hour", [1, 24]),
        ("send_weekdays", [["MON"], ["SAT", "SUN"]]),
        ("birthday_feb29", ["MAR_01"]),
        ("birthday_rollout_percent", [0, 100]),
        ("welcome_voucher_prefix", ["", "VOLTA10"]),
        ("welcome_voucher_valid_days", [1, 365]),
        ("frequency_cap_days", [0, 7]),
        ("reactivation_stage_days", [[30], [15, 45]]),
        ("reactivation_max_unanswered", [1]),
        ("loyalty_tiers", [{"GOLD": 20, "BRONZE": 10}]),
        ("max_attempts", [1, 10]),
        ("blackout_dates", [[], ["2026-12-24"]]),
        ("sends_on_national_holidays", [False]),
        ("stale_sales_hours", [0, 8760]),
        ("max_customers_per_phone", [1, 100_000]),
        ("voucher_placeholders", [[], ["0", "-", "N/A", "SEM CUPOM"]]),
    ],
)
def test_the_bounds_of_a_setting_are_allowed(
    name: str, values: list[Any], problem: Callable[..., str]
) -> None:
    # The window is open all day, so only the limits of the setting itself count.
    others = {"send_from_hour": 0, "send_until_hour": 24}
    for value in values:
        assert problem(name, value, **{key: others[key] for key in others if key != name}) == ""


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("send_from_hour", 24, "from 0 to 23"),
        ("send_from_hour", True, "whole number"),
        ("send_from_hour", 9.0, "whole number"),
        ("birthday_send_from_hour", -1, "from 0 to 23"),
        ("send_until_hour", 0, "from 1 to 24"),
        ("send_weekdays", [], "list of days"),
        ("send_weekdays", ["MON", "mon"], "list of days"),
        ("send_weekdays", "MON", "list of days"),
        ("send_weekdays", [["MON"]], "list of days"),
        ("birthday_feb29", "FEB_29", "FEB_28 or MAR_01"),
        ("welcome_holdout_percent", 101, "from 0 to 100"),
        ("welcome_voucher_prefix", "a'b", "capital letters"),
        ("welcome_voucher_valid_days", 0, "from 1 to 365"),
        ("welcome_delay_days", -1, "from 0 to 365"),
        ("frequency_cap_days", "1", "whole number"),
        ("reactivation_stage_days", [60, 30], "ascending"),
        ("reactivation_stage_days", [], "ascending"),
        ("reactivation_inactive_days", 0, "from 1"),
        ("reactivation_start_day", 32, "from 1 to 31"),
        ("loyalty_tiers", {}, "map of tier"),
        ("loyalty_tiers", {"BRONZE": 10, "GOLD": 10}, "map of tier"),
        ("loyalty_tiers", {"o'ro": 10}, "map of tier"),
        ("loyalty_tiers", {1: 10}, "map of tier"),
        ("loyalty_tiers", {"BRONZE": "10"}, "map of tier"),
        ("max_attempts", 0, "from 1 to 10"),
    ],
)
def test_another_value_is_refused_with_what_the_setting_takes(
    name: str, value: Any, expected: str, problem: Callable[..., str]
) -> None:
    assert expected in problem(name, value)


def test_only_a_setting_without_a_default_may_be_empty(problem: Callable[..., str]) -> None:
    assert problem("reactivation_max_inactive_days", None) == ""
    assert problem("max_attempts", None) == "a value such as 3"


@pytest.mark.parametrize(
    ("name", "value", "other", "limit"),
    [
        ("send_from_hour", 20, "send_until_hour", 20),
        ("loyalty_send_from_hour", 21, "send_until_hour", 20),
        ("reactivation_inactive_days", 90, "reactivation_max_inactive_days", 90),
    ],
)
def test_a_setting_that_must_be_less_than_another_is_refused_when_it_is_not(
    name: str, value: int, other: str, limit: int, problem: Callable[..., str]
) -> None:
    assert problem(name, value, **{other: limit}) == f"less than {other}, which is {limit}"
    assert problem(name, value - 2, **{other: limit}) == ""


def test_a_setting_of_a_new_campaign_is_checked_by_its_name_or_by_its_default(
    problem: Callable[..., str],
) -> None:
    assert "from 0 to 100" in problem("anniversary_rollout_percent", 200)
    assert problem("anniversary_greeting", 3) == ""
    assert problem("anniversary_greeting", "Oi") == "a whole number such as 1"
    assert problem("anniversary_greeting", True) == "a whole number such as 1"  # noqa: FBT003 - JSON


_NESTED: tuple[Any, ...] = (
    *("a{", "}", "a", "", "'", 5, 5.5, None, True, [], {}, [[]], [{}], {"a": {}}),
    *(["a", "b}"], ["a", {"b": "c"}], ["a", {"b": "c}"}], {"a{": 1}, {"a": {"b": [1, "x{"]}}),
    *(["it's {"], ["it's"], ['"{'], ['"'], ["'\"{"], ["'\"", "x"], ["\\", "{"], ["\\", "x"]),
    *(["\\'{"], ["\\'"], ["\n{"], ["\u2028", "}"], ["'", {"'": "'}"}], {"'": ["'", '"']}),
)


def test_dbt_and_vmhub_see_a_brace_in_the_same_values(services: Services) -> None:
    calls = [f"'{{{{ holds_braces({value!r}) }}}}'" for value in _NESTED]
    compiled = services.dbt.compile_sql(
        BuildSpec({"cnpj": ALPHANUMERIC_CNPJ}, AS_OF), f"select {', '.join(calls)}"
    )
    said = [text == "True" for text in re.findall(r"'(True|False)'", compiled)]
    assert said == [holds_braces(value) for value in _NESTED]
    assert 10 < sum(said) < len(said) - 10
