"""The course of a run: what it leaves out and what stops it; the figures always add up."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.base.errors import ConfigurationError, ExitCode, RunError, ServiceError
from loader.base.interrupts import Interrupts
from loader.sync.model import Outcome, Status, Target
from loader.sync.run import SyncOptions
from tests.loader.fakes import (
    FakeClock,
    FakeSource,
    FakeStore,
    Fault,
    make_document,
    make_target,
)
from tests.loader.running import counts, of_rows, run_sync
from tests.support import AS_OF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from loader.base.cnpj import Cnpj
    from loader.sync.report import Problem

REFUSED = ServiceError("writing targets: Firestore answered PERMISSION_DENIED")
BOTH = ("BIRTHDAY", "LOYALTY")


def _rows(count: int, **changes: Any) -> list[Target]:
    return [make_target(f"c{number:04}", **changes) for number in range(count)]


def _signals(interrupts: Interrupts, number: signal.Signals) -> Callable[[FakeStore], None]:
    def send(_: FakeStore) -> None:
        interrupts.received = number

    return send


def _assert_completed(rows: Sequence[Target], store: FakeStore) -> None:
    """Run once more without faults, and check that every row has its document."""
    store.faults = {}
    report = run_sync(rows, store)
    assert report.exit_code == ExitCode.OK
    assert {id_ for _, id_ in store.documents} == {target.customer_id for target in rows}


# A limit


def test_a_limit_bounds_the_rows_that_are_written_and_counts_the_others_as_deferred() -> None:
    store = FakeStore()
    report = run_sync(_rows(10), store, options=SyncOptions(limit=4))
    assert counts(report) == {Outcome.CREATED: 4, Outcome.DEFERRED: 6}
    assert [write.customer_id for write in store.effects] == ["c0000", "c0001", "c0002", "c0003"]
    assert report.exit_code == ExitCode.OK


def test_rows_that_need_no_write_do_not_use_the_limit_up() -> None:
    sent = [make_document(f"c{number:04}", status=Status.SENT) for number in range(5)]
    store = FakeStore.of(*sent, make_document("c0005"))
    report = run_sync(_rows(10), store, options=SyncOptions(limit=2))
    assert counts(report) == {
        Outcome.ALREADY_SENT: 5,
        Outcome.UNCHANGED: 1,
        Outcome.CREATED: 2,
        Outcome.DEFERRED: 2,
    }
    assert len(store.asked) == 2


def test_an_update_beyond_the_limit_is_deferred_too() -> None:
    store = FakeStore.of(*(make_document(f"c{number:04}", name="Old") for number in range(5)))
    report = run_sync(_rows(5), store, options=SyncOptions(limit=3))
    assert counts(report) == {Outcome.UPDATED: 3, Outcome.DEFERRED: 2}


def test_what_lost_its_row_is_withdrawn_under_a_limit_and_what_was_not_reached_is_not() -> None:
    store = FakeStore.of(make_document("gone"), make_document("c0009", name="Old"))
    report = run_sync(_rows(10), store, options=SyncOptions(limit=1))
    assert counts(report) == {Outcome.WITHDRAWN: 1, Outcome.CREATED: 1, Outcome.DEFERRED: 9}
    assert store.get("gone") is None
    assert store.get("c0009") is not None


def test_runs_with_a_limit_get_through_all_rows() -> None:
    rows, store = _rows(10), FakeStore()
    for _ in range(4):
        report = run_sync(rows, store, options=SyncOptions(limit=3))
    assert len(store.documents) == 10
    assert counts(report) == {Outcome.CREATED: 1, Outcome.UNCHANGED: 9}


# Single campaigns


def _two_campaigns() -> tuple[list[Target], FakeStore]:
    rows = [*_rows(3), *_rows(2, campaign_type="LOYALTY")]
    store = FakeStore.of(make_document("gone"))
    store.documents.update(FakeStore.of(make_document("gone"), campaign_type="LOYALTY").documents)
    return rows, store


def test_only_the_campaigns_that_are_asked_for_are_read_and_written() -> None:
    rows, store = _two_campaigns()
    options = SyncOptions(campaigns=frozenset({"LOYALTY"}))
    report = run_sync(rows, store, options=options, campaign_types=BOTH)
    assert [campaign.campaign_type for campaign in report.campaigns] == ["LOYALTY"]
    assert counts(report) == {Outcome.CREATED: 2, Outcome.WITHDRAWN: 1}
    assert report.rows_read == 2
    assert store.get("gone") is not None
    assert {campaign for campaign, _ in store.documents} == {"BIRTHDAY", "LOYALTY"}


def test_a_campaign_that_there_is_not_is_refused_with_those_there_are() -> None:
    store = FakeStore.of(make_document("gone"))
    options = SyncOptions(campaigns=frozenset({"BIRTHDAYS"}))
    with pytest.raises(ConfigurationError, match="no campaign BIRTHDAYS") as refused:
        run_sync([], store, options=options, campaign_types=BOTH)
    assert refused.value.hint == "there are BIRTHDAY, LOYALTY"
    assert store.asked == []


def test_a_foreign_row_is_refused_also_in_a_campaign_that_is_not_asked_for() -> None:
    rows = [make_target(), make_target(campaign_type="LOYALTY", cnpj="00000000000191")]
    options = SyncOptions(campaigns=frozenset({"BIRTHDAY"}))
    with pytest.raises(RunError, match="a row of CNPJ 00000000000191"):
        run_sync(rows, FakeStore(), options=options, campaign_types=BOTH)


_CHANGES = st.sampled_from(
    [
        None,
        {},
        {"name": "Old"},
        {"status": Status.SENT},
        {"status": Status.FAILED, "attempts": 1},
        {"status": Status.FAILED, "attempts": 3},
    ]
)


@given(
    cells=st.lists(st.tuples(st.booleans(), _CHANGES, st.sampled_from(BOTH)), max_size=12),
    limit=st.none() | st.integers(1, 6),
    campaigns=st.frozensets(st.sampled_from(BOTH)),
)
def test_a_dry_run_foretells_a_real_one_whatever_is_left_out(
    cells: list[tuple[bool, dict[str, Any] | None, str]],
    limit: int | None,
    campaigns: frozenset[str],
) -> None:
    rows, store = [], FakeStore()
    for number, (has_row, changes, campaign) in enumerate(cells):
        id_ = f"c{number}"
        if has_row:
            rows.append(make_target(id_, campaign_type=campaign))
        if changes is not None:
            store.documents[campaign, id_] = make_document(id_, **changes)
    options = SyncOptions(limit=limit, campaigns=campaigns)
    dry = replace(options, is_dry_run=True)
    foretold = run_sync(rows, store, options=dry, campaign_types=BOTH)
    assert store.asked == []
    report = run_sync(rows, store, options=options, campaign_types=BOTH)
    assert report.campaigns == foretold.campaigns
    assert of_rows(report) == report.rows_read
    if limit is not None:
        written = (Outcome.CREATED, Outcome.UPDATED, Outcome.REQUEUED, Outcome.REPLACED)
        assert report.total(*written) <= limit


# What is read


def test_a_run_in_which_nothing_changed_reads_what_is_pending_and_writes_nothing() -> None:
    rows = _rows(2500)
    store = FakeStore.of(*(make_document(target.customer_id) for target in rows))
    report = run_sync(rows, store)
    assert counts(report) == {Outcome.UNCHANGED: 2500}
    assert (report.documents_read, report.writes_sent) == (2500, 0)


def test_the_reading_of_pending_documents_goes_on_where_an_error_ended_it() -> None:
    store = FakeStore.of(*(make_document(f"gone{number:02}") for number in range(20)))
    error = ServiceError("does not answer", is_transient=True)
    # After each error the query begins behind what was read; two errors come in a row.
    store.query_errors = iter([None, None, error, None, error, error, *[None] * 13, error])
    report = run_sync([], store)
    assert counts(report) == {Outcome.WITHDRAWN: 20}
    assert report.documents_read == 20


def test_a_reading_that_never_gets_on_ends_the_run_before_anything_is_written() -> None:
    store = FakeStore.of(make_document("gone"))
    store.query_errors = iter(ServiceError("silent", is_transient=True) for _ in range(1000))
    clock = FakeClock()
    with pytest.raises(ServiceError, match="silent"):
        run_sync(_rows(2), store, clock=clock)
    assert store.asked == []
    assert sum(clock.sleeps) >= 120


def test_progress_is_told_up_to_the_last_row() -> None:
    told: list[tuple[int, int]] = []
    run_sync(_rows(8), FakeStore(), on_progress=lambda done, whole: told.append((done, whole)))
    assert told == [(3, 8), (6, 8), (8, 8)]


# Problems


def test_every_problem_is_told_and_the_report_keeps_the_first_hundred() -> None:
    told: list[Problem] = []
    report = run_sync(_rows(250, phone="none"), FakeStore(), on_problem=told.append)
    assert [problem.customer_id for problem in told] == [f"c{number:04}" for number in range(250)]
    assert report.problems == tuple(told[:100])
    assert report.problem_count == 250
    assert report.exit_code == ExitCode.FAILED


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_intake_and_what_was_taken_is_counted(number: signal.Signals) -> None:
    rows, store, interrupts = _rows(50), FakeStore(), Interrupts()
    store.faults = {"c0020": [_signals(interrupts, number)]}
    report = run_sync(rows, store, interrupts=interrupts)
    assert counts(report) == {Outcome.CREATED: 21, Outcome.DEFERRED: 29}
    assert len(store.documents) == 21
    assert report.stopped is not None
    assert number.name in report.stopped.reason
    assert report.exit_code == 128 + number
    _assert_completed(rows, store)


@pytest.mark.parametrize("fault", [Fault.LANDED_UNCONFIRMED, Fault.NEVER_ARRIVED])
def test_what_is_in_doubt_when_a_signal_comes_is_settled_first(fault: Fault) -> None:
    rows, store, interrupts = _rows(50), FakeStore(), Interrupts()
    store.faults = {"c0000": [fault], "c0020": [_signals(interrupts, signal.SIGTERM)]}
    report = run_sync(rows, store, interrupts=interrupts)
    assert counts(report) == {Outcome.CREATED: 21, Outcome.DEFERRED: 29}
    assert len(store.documents) == 21


def test_what_was_being_settled_when_a_signal_comes_is_settled_to_the_end() -> None:
    rows, store, interrupts = _rows(2000), FakeStore(), Interrupts()
    store.faults = {target.customer_id: [Fault.NEVER_ARRIVED] for target in rows[:300]}
    for target in rows[:300]:
        store.faults[target.customer_id].append(_signals(interrupts, signal.SIGTERM))
    report = run_sync(rows, store, interrupts=interrupts)
    assert counts(report) == {Outcome.CREATED: 300, Outcome.DEFERRED: 1700}
    assert len(store.documents) == 300


def test_after_a_signal_what_stays_in_doubt_has_ten_seconds() -> None:
    store, interrupts, clock = FakeStore(), Interrupts(), FakeClock()
    store.faults = {
        "c0000": [Fault.NEVER_ARRIVED] * 1000,
        "c0001": [_signals(interrupts, signal.SIGTERM)],
    }
    report = run_sync(_rows(3), store, interrupts=interrupts, clock=clock)
    assert counts(report) == {Outcome.FAILED: 1, Outcome.CREATED: 1, Outcome.DEFERRED: 1}
    assert 10 <= sum(clock.sleeps) <= 20
    assert report.exit_code == 128 + signal.SIGTERM


def test_a_dry_run_can_be_stopped_too() -> None:
    interrupts = Interrupts()
    interrupts.received = signal.SIGINT
    report = run_sync(
        _rows(3), FakeStore(), interrupts=interrupts, options=SyncOptions(is_dry_run=True)
    )
    assert counts(report) == {Outcome.DEFERRED: 3}
    assert report.exit_code == ExitCode.INTERRUPTED


# A service that is gone


def test_a_refusal_of_the_program_stops_the_run_and_says_why() -> None:
    rows, store = _rows(50), FakeStore()
    store.faults = {"c0010": [REFUSED]}
    report = run_sync(rows, store)
    assert counts(report) == {Outcome.CREATED: 10, Outcome.FAILED: 1, Outcome.DEFERRED: 39}
    assert report.stopped is not None
    assert "PERMISSION_DENIED" in report.stopped.reason
    assert report.exit_code == ExitCode.FAILED
    _assert_completed(rows, store)


def test_a_firestore_that_stays_away_stops_the_run_instead_of_failing_every_row() -> None:
    rows, store, clock = _rows(5000), FakeStore(), FakeClock()
    store.faults = {target.customer_id: [Fault.NEVER_ARRIVED] * 1000 for target in rows[100:]}
    report = run_sync(rows, store, clock=clock)
    assert report.total(Outcome.CREATED) == 100
    assert 0 < report.total(Outcome.FAILED) < 1000
    assert report.total(Outcome.DEFERRED) > 4000
    assert of_rows(report) == 5000
    assert report.exit_code == ExitCode.FAILED
    assert 120 <= sum(clock.sleeps) < 200
    _assert_completed(rows, store)


def test_one_row_that_is_never_confirmed_does_not_stop_the_others() -> None:
    rows, store = _rows(1000), FakeStore()
    store.faults = {"c0000": [Fault.NEVER_ARRIVED] * 1000}
    report = run_sync(rows, store)
    assert counts(report) == {Outcome.FAILED: 1, Outcome.CREATED: 999}
    assert report.stopped is None
    assert report.exit_code == ExitCode.PARTLY_FAILED


def test_many_lost_races_are_settled_while_rows_are_still_taken() -> None:
    rows = _rows(2000)
    store = FakeStore.of(*(make_document(row.customer_id, status=Status.SENT) for row in rows))
    report = run_sync(rows, store)
    assert counts(report) == {Outcome.ALREADY_SENT: 2000}
    assert (len(store.asked), store.documents_read) == (2000, 2000)


@dataclass
class BrokenSource(FakeSource):
    """Rows whose second reading ends in an error, or gives other rows."""

    second: Sequence[Target | ServiceError] = ()

    def targets(self, cnpj: Cnpj) -> Any:
        readings = iter([super().targets(cnpj), self._second()])

        class Rows:
            def __iter__(self) -> Iterator[Sequence[Target]]:
                return iter(next(readings))

        return Rows()

    def _second(self) -> Iterable[Sequence[Target]]:
        for item in self.second:
            if isinstance(item, ServiceError):
                raise item
            yield [item]


def test_a_bigquery_that_breaks_off_stops_the_run_and_what_was_written_is_counted() -> None:
    rows, store = _rows(5), FakeStore()
    error = ServiceError("reading: BigQuery does not answer")
    report = run_sync(BrokenSource(rows, second=[*rows[:2], error]), store)
    assert counts(report) == {Outcome.CREATED: 2, Outcome.DEFERRED: 3}
    assert report.stopped is not None
    assert "BigQuery does not answer" in report.stopped.reason
    assert report.exit_code == ExitCode.FAILED


@pytest.mark.parametrize("count", [4, 6])
def test_rows_that_are_others_when_read_again_stop_the_run(count: int) -> None:
    source = BrokenSource(_rows(5), second=_rows(count))
    report = run_sync(source, FakeStore())
    assert report.stopped is not None
    assert "other rows when read again" in report.stopped.reason
    assert of_rows(report) == 5


# Exit codes


def test_what_could_not_be_recorded_makes_a_good_run_a_partly_failed_one() -> None:
    good = run_sync(_rows(1), FakeStore())
    assert good.exit_code == ExitCode.OK
    assert replace(good, not_recorded="why").exit_code == ExitCode.PARTLY_FAILED
    failed = run_sync(_rows(1, phone="none"), FakeStore())
    assert replace(failed, not_recorded="why").exit_code == ExitCode.FAILED


def test_what_waits_for_review_is_no_failure() -> None:
    store = FakeStore.of(make_document("c0000", status=Status.FAILED, attempts=3))
    report = run_sync(_rows(1), store)
    assert (report.problem_count, report.exit_code) == (1, ExitCode.OK)
    assert report.as_of == AS_OF
