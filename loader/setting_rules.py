"""What a setting may be, by the words its name ends in.

A campaign that an analyst adds brings its settings along in dbt_project.yml alone; those that are
named like the others are checked like the others, and any other must have its default's type.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["setting_problem"]

_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


@dataclass(frozen=True)
class _Rule:
    """``names`` is matched against the whole name; the first rule that matches decides."""

    names: str
    expects: str
    accepts: Callable[[Any], bool]


def setting_problem(name: str, value: Any, default: Any) -> str:
    """Return what a setting takes when it does not take this value; empty when it does."""
    if value is None:
        return "" if default is None else f"a value such as {default!r}"
    for rule in _RULES:
        if re.fullmatch(rule.names, name):
            return "" if rule.accepts(value) else rule.expects
    if default is not None and type(value) is not type(default):
        return f"a {type(default).__name__} such as {default!r}"
    return ""


def _between(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _whole(names: str, least: int, most: int) -> _Rule:
    return _Rule(names, f"a whole number from {least} to {most}", _between(least, most))


def _ascending(values: list[Any]) -> bool:
    return (
        bool(values)
        and all(type(value) is int and value > 0 for value in values)
        and all(earlier < later for earlier, later in pairwise(values))
    )


_RULES = (
    _Rule(
        "send_weekdays",
        f"a list of days, of {', '.join(_WEEKDAYS)}",
        lambda value: (
            isinstance(value, list)
            and bool(value)
            and all(isinstance(day, str) and day in _WEEKDAYS for day in value)
        ),
    ),
    _Rule("birthday_feb29", "FEB_28 or MAR_01", lambda value: value in ("FEB_28", "MAR_01")),
    _Rule(
        ".*_stage_days",
        "a list of ascending numbers of days such as [30, 60, 90]",
        lambda value: isinstance(value, list) and _ascending(value),
    ),
    _Rule(
        ".*_tiers",
        "a map of tier to visits, no two alike, such as {BRONZE: 10, SILVER: 15}",
        lambda value: (
            isinstance(value, dict)
            and all(re.fullmatch("[A-Z][A-Z0-9_]{0,30}", tier) for tier in value)
            and all(type(visits) is int for visits in value.values())
            and _ascending(sorted(value.values()))
        ),
    ),
    # It becomes part of the SQL and of what customers type at the till.
    _Rule(
        ".*_voucher_prefix",
        "up to 12 capital letters and digits, or empty",
        lambda value: isinstance(value, str) and bool(re.fullmatch("[A-Z0-9]{0,12}", value)),
    ),
    _whole("send_until_hour", 1, 24),
    _whole(".*send_from_hour", 0, 23),
    _whole(".*_percent", 0, 100),
    _whole("max_attempts", 1, 10),
    _whole(".*_start_day", 1, 31),
    _whole(".*_months", 1, 24),
    _whole(".*_valid_days", 1, 365),
    _whole("frequency_cap_days|.*_delay_days|.*_catch_up_days|.*_cooldown_days", 0, 365),
    _whole(".*_days", 1, 3650),
    _whole(".*_visits|.*_max_unanswered", 1, 1000),
)
