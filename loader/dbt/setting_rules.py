"""The allowed values of settings, by the rules in dbt_project.yml.

dbt reads the same rules (macros/settings/setting_rules.sql), so that a plain `dbt build --vars`
refuses what `vmhub` refuses; tests/e2e/test_dbt_project.py checks that both give the same answers.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["holds_braces", "setting_problem", "shown", "upper_bound"]

_MOST_ENTRIES = 50
_MOST_CHARACTERS = 200

_TYPES_IN_WORDS: dict[type, str] = {
    bool: "a yes or no (true or false)",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a map",
}


def setting_problem(
    name: str,
    settings: Mapping[str, Any],
    defaults: Mapping[str, Any],
    rules: Sequence[Mapping[str, Any]],
) -> str:
    """Return the allowed values if a setting's value is not allowed; otherwise an empty text.

    Args:
        name: The setting.
        settings: The values of all settings; one setting can be the limit of another.
        defaults: The project's own values.
        rules: `setting_rules` of dbt_project.yml.

    """
    value, default = settings[name], defaults[name]
    if holds_braces(value):
        return "no { or }, which dbt would run as Jinja"
    if not _is_small(value):
        return (
            f"at most {_MOST_ENTRIES} entries, and texts of at most {_MOST_CHARACTERS} characters"
        )
    if value is None:
        return "" if default is None else f"a value such as {default}"
    for rule in rules:
        if re.fullmatch(rule["names"], name):
            if not _is_taken(value, rule):
                number = f"a whole number from {rule.get('least')} to {rule.get('most')}"
                return str(rule.get("takes", number))
            limit = settings[rule["less_than"]] if "less_than" in rule else None
            if type(limit) is int and value >= limit:
                return f"less than {rule['less_than']}, which is {limit}"
            return ""
    if default is not None and type(value) is not type(default):
        return f"{_TYPES_IN_WORDS[type(default)]} such as {default}"
    if type(value) not in (int, float, bool):
        return "a number, or a yes or no: a text, a list or a map needs a rule in setting_rules"
    return ""


def holds_braces(value: Any) -> bool:
    """Return whether a text, or any text in a list or a map, has a brace.

    dbt renders the text of a var as Jinja, which can read tables and environment variables.
    """
    if isinstance(value, str):
        return "{" in value or "}" in value
    if isinstance(value, dict):
        return any(holds_braces(key) or holds_braces(item) for key, item in value.items())
    return isinstance(value, (list, tuple)) and any(map(holds_braces, value))


def shown(value: Any) -> str:
    """Return a value as errors show it; for a text, a list or a map only its type.

    Somebody may have typed a name or a phone into a setting, and errors are logged and stored.
    """
    if value is None:
        return "empty"
    if isinstance(value, (bool, int, float)):
        return str(value).lower() if isinstance(value, bool) else repr(value)
    return _TYPES_IN_WORDS.get(type(value), f"a {type(value).__name__}")


def upper_bound(name: str, rules: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the setting that must be larger than this one, or None."""
    rule = next((rule for rule in rules if re.fullmatch(rule["names"], name)), {})
    bound: str | None = rule.get("less_than")
    return bound


def _is_taken(value: Any, rule: Mapping[str, Any]) -> bool:
    match rule:
        case {"one_of": values}:
            return value in values
        case {"list_of": values}:
            return isinstance(value, list) and bool(value) and all(item in values for item in value)
        case {"pattern": pattern}:
            return isinstance(value, str) and bool(re.fullmatch(pattern, value))
        case {"item_pattern": pattern}:
            return isinstance(value, list) and all(
                isinstance(item, str) and re.fullmatch(pattern, item) for item in value
            )
        case {"is_boolean": True}:
            return isinstance(value, bool)
        case {"is_ascending": True}:
            return isinstance(value, list) and _ascends(value)
        case {"key_pattern": pattern}:
            return (
                isinstance(value, dict)
                and all(isinstance(key, str) and re.fullmatch(pattern, key) for key in value)
                and all(type(number) is int for number in value.values())
                and _ascends(sorted(value.values()))
            )
        case _:
            return type(value) is int and bool(rule["least"] <= value <= rule["most"])


def _is_small(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _MOST_CHARACTERS
    if isinstance(value, dict):
        value = [part for item in value.items() for part in item]
        return len(value) <= 2 * _MOST_ENTRIES and all(map(_is_small, value))
    return not isinstance(value, list) or (
        len(value) <= _MOST_ENTRIES and all(map(_is_small, value))
    )


def _ascends(values: Sequence[Any]) -> bool:
    return (
        bool(values)
        and all(type(value) is int and value > 0 for value in values)
        and all(earlier < later for earlier, later in pairwise(values))
    )
