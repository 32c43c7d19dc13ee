"""Every setting takes what it means, and says so when it gets something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from loader.setting_rules import setting_problem

if TYPE_CHECKING:
    from loader.project import Project

_NOT_CHECKED = {"cnpj", "as_of", "timezone", "campaigns", "enabled_campaigns"}


def test_every_default_is_itself_allowed(project: Project) -> None:
    for name, default in project.default_settings().items():
        if name not in _NOT_CHECKED:
            assert setting_problem(name, default, default) == "", name


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
    ],
)
def test_the_bounds_of_a_setting_are_allowed(name: str, values: list[Any]) -> None:
    for value in values:
        assert setting_problem(name, value, value) == ""


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
        ("max_attempts", 0, "from 1 to 10"),
    ],
)
def test_another_value_is_refused_with_what_the_setting_takes(
    name: str, value: Any, expected: str
) -> None:
    assert expected in setting_problem(name, value, 1)


def test_only_a_setting_without_a_default_may_be_empty() -> None:
    assert setting_problem("reactivation_max_inactive_days", None, None) == ""
    assert setting_problem("max_attempts", None, 3) == "a value such as 3"


def test_a_setting_of_a_new_campaign_is_checked_by_its_name_or_by_its_default() -> None:
    assert "from 0 to 100" in setting_problem("anniversary_rollout_percent", 200, 100)
    assert setting_problem("anniversary_greeting", "Oi", "Olá") == ""
    assert "a str such as" in setting_problem("anniversary_greeting", 3, "Olá")
