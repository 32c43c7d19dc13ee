"""Alerts: what is wrong with the fleet, when it begins and ends, and who gets the message."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.base.cnpj import with_check_digits
from loader.base.errors import ConfigurationError, ServiceError
from loader.base.shards import Shard
from loader.operations.status.alerts import (
    DIGEST_ABOVE,
    AlertChange,
    Conditions,
    Kind,
    Notice,
    changes,
    conditions,
    kind_of,
    notices,
)
from loader.operations.status.facts import (
    AccountEvent,
    Facts,
    FleetRun,
    LastRun,
    Limits,
    RawTable,
    ServedCount,
)
from loader.operations.status.overview import report_of, tell
from loader.operations.status.receivers import Receivers
from tests.loader.alert_receiver import SECRET, alert_receiver
from tests.support import AS_OF, NUMERIC_CNPJ

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from loader.dbt.project import Project
    from tests.loader.alert_receiver import AlertReceiver

CNPJS = [with_check_digits(f"{number:012}") for number in range(1, 60)]
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def run(shard: str = "0/1", ended_ago: timedelta = HOUR, **changed: Any) -> FleetRun:
    index, count = map(int, shard.split("/"))
    ended_at = AS_OF - ended_ago
    return replace(
        FleetRun(
            f"{shard} {ended_ago}",
            Shard(index, count),
            started_at=ended_at - timedelta(minutes=10),
            ended_at=ended_at,
            laundromats=10,
            counts={"ok": 10},
            exit_code=0,
            seconds=600.0,
            peak_memory_mib=300.0,
        ),
        **changed,
    )


def laundromat(cnpj: str = NUMERIC_CNPJ, failures: int = 0, **changed: Any) -> LastRun:
    return replace(
        LastRun(
            cnpj,
            started_at=AS_OF - HOUR,
            exit_code=1 if failures else 0,
            seconds=2.0,
            peak_memory_mib=300.0,
            failures=failures,
            failing_since=AS_OF - failures * HOUR if failures else None,
            succeeded_at=AS_OF - (failures + 1) * HOUR,
        ),
        **changed,
    )


def facts(*runs: FleetRun, **changed: Any) -> Facts:
    return Facts(AS_OF, runs or (run(),), **changed)


def wrong(found: Facts, limits: Limits | None = None) -> set[str]:
    return set(conditions(found, limits or Limits()).wrong)


# When something is wrong


def test_a_fleet_that_runs_well_has_no_alert() -> None:
    fine = facts(
        laundromats=(laundromat(),),
        raw_tables=(RawTable(NUMERIC_CNPJ, AS_OF - 25 * HOUR),),
        served=ServedCount(10, 0),
    )
    assert conditions(fine, Limits()).wrong == {}


@pytest.mark.parametrize(("failures", "is_wrong"), [(0, False), (2, False), (3, True), (4, True)])
def test_a_laundromat_is_failing_from_the_nth_failure_in_a_row(
    failures: int, *, is_wrong: bool
) -> None:
    found = facts(laundromats=(laundromat(failures=failures),))
    assert wrong(found) == ({f"failing:{NUMERIC_CNPJ}"} if is_wrong else set())


def test_the_alert_of_a_failing_laundromat_says_since_when_and_why() -> None:
    failed = laundromat(failures=3, step="BUILD", error="BuildError", reason="no\n table " * 200)
    text = conditions(facts(laundromats=(failed,)), Limits()).wrong[f"failing:{NUMERIC_CNPJ}"]
    assert text.startswith(
        f"{NUMERIC_CNPJ} failed 3 times in a row since 2026-11-23 10:00Z, "
        "last in BUILD with BuildError: no table no table"
    )
    assert len(text) < 420


@pytest.mark.parametrize("exit_code", [1, 3, 130, 143])
def test_a_run_whose_workers_do_not_start_is_an_error_unless_it_was_told_to_end(
    exit_code: int,
) -> None:
    left = run(counts={"not_started": 9, "ok": 1}, exit_code=exit_code)
    for served in (ServedCount(0, 0), ServedCount(1, 0)):
        text = conditions(facts(left, served=served), Limits()).wrong.get("error_rate", "")
        assert text.startswith("9 laundromats were not served") == (exit_code < 128)


@pytest.mark.parametrize(
    ("failed", "served", "is_wrong"),
    [
        (1, 1, False),
        (1, 10, False),
        (2, 40, False),
        (2, 39, True),
        (5, 100, False),
        (6, 100, True),
        (2, 2, True),
        (0, 0, False),
    ],
)
def test_the_error_rate_is_wrong_above_its_share_and_from_two_laundromats(
    failed: int, served: int, *, is_wrong: bool
) -> None:
    found = facts(served=ServedCount(served, failed))
    assert ("error_rate" in wrong(found)) == is_wrong


def test_a_night_in_which_nobody_is_served_leaves_the_error_rate_as_it_was() -> None:
    night = conditions(facts(served=ServedCount(0, 0)), Limits())
    assert night.is_undecided("error_rate")
    assert changes(night, {"error_rate": AS_OF - HOUR}) == []


@pytest.mark.parametrize(
    ("age", "is_wrong"), [(26 * HOUR, False), (26 * HOUR + SECOND, True), (-HOUR, False)]
)
def test_raw_data_is_stale_above_its_age(age: timedelta, *, is_wrong: bool) -> None:
    found = facts(raw_tables=(RawTable(NUMERIC_CNPJ, AS_OF - age),))
    assert wrong(found) == ({f"stale_raw:{NUMERIC_CNPJ}"} if is_wrong else set())


def test_raw_data_that_is_missing_is_stale_and_comes_first() -> None:
    old = RawTable(CNPJS[0], AS_OF - 30 * HOUR)
    older = RawTable(CNPJS[1], AS_OF - 31 * HOUR)
    missing = RawTable(CNPJS[2], None, "missing")
    found = facts(raw_tables=(old, missing, older))
    assert found.stale(26 * HOUR) == (missing, older, old)
    assert "is missing" in conditions(found, Limits()).wrong[f"stale_raw:{CNPJS[2]}"]


def test_raw_data_of_which_bigquery_says_nothing_stays_as_it_was() -> None:
    found = facts(raw_tables=(RawTable(NUMERIC_CNPJ, None, "not known", is_known=False),))
    assert wrong(found) == set()
    alert = f"stale_raw:{NUMERIC_CNPJ}"
    assert changes(conditions(found, Limits()), {alert: AS_OF}) == []
    assert report_of(found, Limits(), {}).exit_code == 3


@pytest.mark.parametrize(("seconds", "is_wrong"), [(2700.0, False), (2700.1, True)])
def test_a_run_is_over_its_time_above_the_limit(seconds: float, *, is_wrong: bool) -> None:
    assert wrong(facts(run(seconds=seconds))) == ({"over_time"} if is_wrong else set())


@pytest.mark.parametrize(("mebibytes", "is_wrong"), [(1500.0, False), (1500.1, True)])
def test_a_run_is_over_its_memory_above_the_limit(mebibytes: float, *, is_wrong: bool) -> None:
    assert wrong(facts(run(peak_memory_mib=mebibytes))) == ({"over_memory"} if is_wrong else set())


def test_only_the_last_run_of_each_shard_counts_for_time_and_memory() -> None:
    slow_before = run(ended_ago=2 * HOUR, seconds=9999.0, peak_memory_mib=9999.0)
    assert wrong(facts(run(), slow_before)) == set()
    assert wrong(facts(run("0/2"), run("1/2", seconds=9999.0))) == {"over_time"}


@pytest.mark.parametrize(
    ("ended_ago", "is_wrong"), [(2 * HOUR, False), (2 * HOUR + SECOND, True), (HOUR, False)]
)
def test_no_run_is_wrong_when_none_ended_within_two_hours(
    ended_ago: timedelta, *, is_wrong: bool
) -> None:
    assert wrong(facts(run(ended_ago=ended_ago))) == ({"no_run"} if is_wrong else set())


def test_no_row_at_all_is_no_run_and_leaves_what_cannot_be_told_as_it_was() -> None:
    found = conditions(Facts(AS_OF, without_runs=(NUMERIC_CNPJ,)), Limits())
    assert set(found.wrong) == {"no_run"}
    before = ["error_rate", "over_time", "over_memory", "no_run:1/3", f"failing:{NUMERIC_CNPJ}"]
    told = changes(found, dict.fromkeys(before, AS_OF - HOUR))
    assert [change.alert for change in told] == ["no_run"]


def test_a_run_of_which_all_laundromats_were_left_out_is_a_run() -> None:
    assert wrong(facts(run(counts={"skipped": 10}), served=ServedCount())) == set()


@pytest.mark.parametrize(
    ("runs", "silent"),
    [
        pytest.param([run("0/3"), run("1/3"), run("2/3")], set(), id="all run"),
        pytest.param(
            [run("0/3"), run("1/3"), run("2/3", 3 * HOUR)], {"no_run:2/3"}, id="one is silent"
        ),
        pytest.param(
            [run("0/3"), run("1/3"), run("2/3", 2 * HOUR)], set(), id="one is nearly silent"
        ),
        pytest.param(
            [run("0/3"), run("0/3", 3 * HOUR), run("1/3")], {"no_run:2/3"}, id="one never ran"
        ),
        pytest.param([run("0/3"), run("1/3")], set(), id="divided an hour ago"),
        pytest.param(
            [run("0/2"), run("1/2"), run("2/3", 3 * HOUR), run("0/3", 3 * HOUR)],
            set(),
            id="an earlier division does not count",
        ),
        pytest.param(
            [run("0/3", 3 * HOUR), run("1/3", 4 * HOUR)], {"no_run"}, id="all are silent: one alert"
        ),
    ],
)
def test_a_shard_that_is_silent_while_others_run_is_noticed(
    runs: list[FleetRun], silent: set[str]
) -> None:
    assert wrong(facts(*runs)) == silent


def test_fewer_failures_without_a_success_in_sight_do_not_end_an_alert() -> None:
    alert = f"failing:{NUMERIC_CNPJ}"
    aged = laundromat(failures=1, succeeded_at=None)
    assert changes(conditions(facts(laundromats=(aged,)), Limits()), {alert: AS_OF}) == []
    fixed = facts(laundromats=(laundromat(failures=0),))
    [over] = changes(conditions(fixed, Limits()), {alert: AS_OF - HOUR})
    assert over == AlertChange(
        alert, is_open=False, text=f"{alert} is over; it began 2026-11-23 12:00Z"
    )


def test_a_laundromat_that_is_no_longer_served_ends_its_alerts() -> None:
    before = dict.fromkeys([f"failing:{NUMERIC_CNPJ}", f"stale_raw:{NUMERIC_CNPJ}"], AS_OF)
    told = changes(conditions(facts(), Limits()), before)
    assert [(change.alert, change.is_open) for change in told] == [
        (alert, False) for alert in before
    ]


def test_the_limits_are_those_that_are_given() -> None:
    found = facts(
        run(seconds=61, peak_memory_mib=11),
        laundromats=(laundromat(failures=1),),
        raw_tables=(RawTable(NUMERIC_CNPJ, AS_OF - 2 * HOUR),),
        served=ServedCount(100, 2),
    )
    assert wrong(found) == set()
    assert wrong(found, Limits(1, 1.0, HOUR, 1.0, 10.0)) == {
        f"failing:{NUMERIC_CNPJ}",
        f"stale_raw:{NUMERIC_CNPJ}",
        "error_rate",
        "over_time",
        "over_memory",
    }


# Changes of state

ALERTS = st.sampled_from(
    ["no_run", "no_run:1/3", "error_rate", "over_time", "over_memory"]
    + [f"{kind}:{cnpj}" for kind in ("failing", "stale_raw") for cnpj in CNPJS[:25]]
)


@given(st.sets(ALERTS), st.sets(ALERTS), st.sets(ALERTS))
def test_what_was_told_is_told_once_and_every_change_is_in_one_message(
    now_wrong: set[str], before: set[str], undecided: set[str]
) -> None:
    found = Conditions(dict.fromkeys(now_wrong, "It is so"), frozenset(undecided - now_wrong))
    told = changes(found, dict.fromkeys(before, AS_OF))
    messages = notices(told, "p")
    assert sorted(change.alert for message in messages for change in message.changes) == sorted(
        change.alert for change in told
    )
    assert len(messages) <= 2 * (2 * DIGEST_ABOVE + 5)
    after = dict.fromkeys(before, AS_OF)
    for change in told:
        if change.is_open:
            after[change.alert] = AS_OF
        else:
            del after[change.alert]
    assert changes(found, after) == []
    assert now_wrong <= set(after) <= now_wrong | before
    assert {alert for alert in before if found.is_undecided(alert)} <= set(after)


def test_twenty_are_told_one_by_one_and_one_more_is_a_digest() -> None:
    def told(count: int) -> list[Notice]:
        failed = tuple(laundromat(cnpj, failures=3) for cnpj in CNPJS[:count])
        return notices(changes(conditions(facts(laundromats=failed), Limits()), {}), "p")

    assert len(told(DIGEST_ABOVE)) == DIGEST_ABOVE
    [digest] = told(DIGEST_ABOVE + 1)
    assert digest.title == "vmhub p: 21 alerts: failing"
    assert len(digest.changes) == 21
    assert "and 11 more; `vmhub status` lists all that is wrong" in digest.body
    assert digest.body.count("failed 3 times") == 10


def test_the_most_urgent_beginning_comes_first_and_recoveries_last() -> None:
    begun = Conditions({"over_time": "a", "no_run": "b", f"failing:{NUMERIC_CNPJ}": "c"})
    messages = notices(changes(begun, {"error_rate": AS_OF}), "p")
    assert [message.title for message in messages] == [
        "vmhub p: no_run",
        f"vmhub p: failing:{NUMERIC_CNPJ}",
        "vmhub p: over_time",
        "vmhub p: over: error_rate",
    ]
    assert messages[0].body == "b\nWhat to do: docs/alerts.md, section no_run"


def test_every_kind_of_alert_has_its_section_in_the_docs(project: Project) -> None:
    text = (project.root / "docs" / "alerts.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^### `(\w+)`", text, re.MULTILINE))
    assert sections == {kind.value for kind in Kind}


# Telling


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with alert_receiver() as receiver:
        yield receiver


@pytest.fixture
def other() -> Iterator[AlertReceiver]:
    with alert_receiver() as receiver:
        yield receiver


class Table:
    """The part of VMHUB_OPS.alerts that is needed: the open alerts."""

    def __init__(self) -> None:
        self.open: dict[str, datetime] = {}
        self.is_broken = False

    def record(self, notice: Notice) -> None:
        if self.is_broken:
            message = "recording: BigQuery does not answer"
            raise ServiceError(message)
        for change in notice.changes:
            if change.is_open:
                self.open[change.alert] = AS_OF
            else:
                del self.open[change.alert]


def check(found: Facts, table: Table, urls: str) -> Any:
    changed = changes(conditions(found, Limits()), table.open)
    return tell(notices(changed, "p"), Receivers(urls), table.record)


SICK = facts(laundromats=(laundromat(failures=3),))
WELL = facts(laundromats=(laundromat(),))


def test_an_alert_is_told_once_and_its_end_too(receiver: AlertReceiver) -> None:
    table = Table()
    for found in (SICK, SICK, WELL, WELL):
        check(found, table, receiver.url)
    assert receiver.titles == [
        f"vmhub p: failing:{NUMERIC_CNPJ}",
        f"vmhub p: over: failing:{NUMERIC_CNPJ}",
    ]
    assert [message["type"] for message in receiver.messages] == ["failure", "success"]


def test_what_nobody_took_is_told_again_next_time(receiver: AlertReceiver) -> None:
    table = Table()
    receiver.is_down = True
    delivery = check(SICK, table, receiver.url)
    assert (delivery.told, delivery.not_told) == ((), (f"failing:{NUMERIC_CNPJ}",))
    assert table.open == {}
    receiver.is_down = False
    assert check(SICK, table, receiver.url).told == (f"failing:{NUMERIC_CNPJ}",)
    assert len(receiver.messages) == 1


def test_what_could_not_be_recorded_is_told_again_rather_than_lost(receiver: AlertReceiver) -> None:
    table = Table()
    table.is_broken = True
    with pytest.raises(ServiceError):
        check(SICK, table, receiver.url)
    table.is_broken = False
    check(SICK, table, receiver.url)
    assert len(receiver.messages) == 2


def test_what_could_not_be_recorded_keeps_nobody_from_hearing_the_rest(
    receiver: AlertReceiver,
) -> None:
    table = Table()
    table.is_broken = True
    others = [laundromat(cnpj, failures=3) for cnpj in CNPJS[:3]]
    with pytest.raises(ServiceError, match="recording"):
        check(facts(laundromats=tuple(others)), table, receiver.url)
    assert len(receiver.messages) == 3


def test_a_receiver_that_is_down_does_not_make_the_others_hear_it_every_time(
    receiver: AlertReceiver, other: AlertReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    other.is_down = True
    table = Table()
    delivery = check(SICK, table, f"{other.url}, {receiver.url}")
    assert delivery.told == (f"failing:{NUMERIC_CNPJ}",)
    assert delivery.receivers_down == ("1 (JSON)",)
    [record] = caplog.records
    assert (record.levelname, SECRET in record.getMessage()) == ("ERROR", False)
    check(SICK, table, f"{other.url} {receiver.url}")
    assert len(receiver.messages) == 1


@pytest.mark.parametrize("text", ["", "  ", f"nonsense://{SECRET}", f"just {SECRET}"])
def test_urls_that_are_missing_or_wrong_are_refused_and_not_shown(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Receivers(text)
    assert "docs/alerts.md" in refused.value.hint
    assert SECRET not in str(refused.value) + caplog.text


def test_no_secret_is_logged_even_if_everything_else_is(
    receiver: AlertReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    nobody = f"json://user:{SECRET}@127.0.0.1:1/{SECRET}"
    receiver.is_down = True
    table = Table()
    assert check(SICK, table, f"{nobody} {receiver.url}").told == ()
    assert caplog.records
    assert SECRET not in caplog.text


def test_the_kind_of_an_alert_is_the_first_part_of_its_name() -> None:
    assert kind_of("no_run:2/3") is Kind.NO_RUN
    assert kind_of(f"failing:{NUMERIC_CNPJ}") is Kind.FAILING


def test_what_whatsapp_says_of_a_template_is_an_alert_until_it_says_otherwise() -> None:
    def said(event: str, reason: str = "", kind: str = "template") -> set[str]:
        told = AccountEvent(kind, "3001:vmhub_v1 pt_BR", event, reason, AS_OF - HOUR)
        facts = Facts(AS_OF, account_events=(told,))
        return {alert for alert in conditions(facts, Limits()).wrong if alert.startswith("what")}

    alert = {"whatsapp:template:3001:vmhub_v1 pt_BR"}
    assert said("PAUSED") == said("DISABLED", "NONE") == alert
    assert said("APPROVED") == said("UNPAUSED") == set()
    restricted = "RESTRICTED_ADD_PHONE_NUMBER_ACTION RESTRICTED_BIZ_INITIATED_MESSAGING"
    assert said("ACCOUNT_RESTRICTION", restricted, "account")
    assert not said("ACCOUNT_RESTRICTION", "RESTRICTED_ADD_PHONE_NUMBER_ACTION", "account")
