"""What is typed behind --set and --as-of means what a person means by it, or is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from loader.base.clock import now
from loader.base.environment import Environment
from loader.base.errors import ConfigurationError
from loader.cli.changes import parse_changes
from loader.cli.options import parse_instant
from loader.dbt.setting_rules import setting_problem
from loader.services import Services
from loader.sync.run import SyncOptions

if TYPE_CHECKING:
    from pathlib import Path

    from loader.dbt.project import Project


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("8", 8),
        ("-1", -1),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ("", None),
        ("[20, 040]", [20, 40]),
        ("{BRONZE: 010, GOLD: 20}", {"BRONZE": 10, "GOLD": 20}),
        ("[MON, SUN]", ["MON", "SUN"]),
        ("'7'", "7"),
    ],
)
def test_a_value_is_read_as_a_person_means_it(text: str, value: Any) -> None:
    read = parse_changes([f"loyalty_min_visits={text}"])["loyalty_min_visits"]
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize("text", ["0x10", "1:30", "0o17", "1_000", "yes", "2026-01-01", "1e3"])
def test_what_yaml_would_take_for_another_number_is_refused(text: str, project: Project) -> None:
    variables = project.variables()
    settings = {**variables["settings"], **parse_changes([f"loyalty_min_visits={text}"])}
    assert "whole number" in setting_problem(
        "loyalty_min_visits", settings, variables["settings"], variables["setting_rules"]
    )


@pytest.mark.parametrize(
    "texts",
    [["{A: 1, A: 2}"], ["{1: 1, '1': 2}"], ["!!python/name:os.system"], ["!!int 0x10"], ["[1"]],
)
def test_a_key_twice_and_tags_are_refused_without_quoting_the_value(texts: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="--set loyalty_tiers has a value") as refused:
        parse_changes([f"loyalty_tiers={text}" for text in texts])
    assert texts[0] not in str(refused.value)


@pytest.mark.parametrize("texts", [["a=1", "a=2"], ["=1"], ["a"], ["a b=1"]])
def test_a_setting_has_a_name_and_stands_there_once(texts: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="--set "):
        parse_changes(texts)


@pytest.mark.parametrize("year", ["0001", "1899", "2101", "9999"])
def test_an_instant_of_another_age_is_named_with_its_option(year: str) -> None:
    with pytest.raises(ConfigurationError, match="--compare-to is an instant of the year"):
        parse_instant(f"{year}-01-01T00:00:00Z", "--compare-to")


@pytest.fixture
def real(project: Project, tmp_path: Path) -> Services:
    """Services of a real project, which nothing may be asked of."""
    return Services(project, Environment("my-project", dbt_target="prod"), tmp_path)


def test_an_instant_to_come_changes_nothing_live(real: Services) -> None:
    ahead = now() + timedelta(minutes=6)
    laundromat = cast("Any", None)
    for change in (
        lambda: real.build(laundromat, as_of=ahead),
        lambda: real.sync(laundromat, as_of=ahead, options=SyncOptions()),
        lambda: real.track(None, as_of=ahead),
    ):
        with pytest.raises(ConfigurationError, match="has not come yet"):
            change()


def test_an_instant_of_the_past_is_taken() -> None:
    instant = parse_instant("2026-11-23T10:00:00-03:00")
    assert instant == datetime(2026, 11, 23, 13, tzinfo=UTC)
