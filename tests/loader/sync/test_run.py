"""A run of sync on documents in memory: what it refuses, writes, counts and reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.base.errors import ExitCode, RunError, ServiceError
from loader.base.retry import Retry
from loader.sync.decide import Action
from loader.sync.model import Outcome, Status, Target, TargetDocument
from loader.sync.run import SyncOptions
from tests.loader.fakes import (
    CYCLE_START,
    EARLIER,
    EXPIRES_AT,
    MAX_DATA,
    MICROSECOND,
    FakeClock,
    FakeSource,
    FakeStore,
    Fault,
    make_document,
    make_target,
    payload_digest,
)
from tests.loader.running import counts, of_rows, run_sync
from tests.support import AS_OF, NUMERIC_CNPJ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from loader.sync.ports import Write

DRY = SyncOptions(is_dry_run=True)
LAST_CYCLE = CYCLE_START - timedelta(days=1)

# One document for every cell of the table, by the outcome of its row.
CELLS: dict[Outcome, dict[str, Any]] = {
    Outcome.REPLACED: {"status": Status.SENT, "created_at": LAST_CYCLE},
    Outcome.UPDATED: {"name": "Ana Antiga"},
    Outcome.REQUEUED: {"status": Status.FAILED, "attempts": 1},
    Outcome.UNCHANGED: {},
    Outcome.IN_FLIGHT: {"claimed_until": AS_OF + MICROSECOND},
    Outcome.ALREADY_SENT: {"status": Status.DELIVERED},
    Outcome.EXHAUSTED: {"status": Status.FAILED, "attempts": 3},
    Outcome.FAILED: {"status": "QUEUED"},
}


def _mixed() -> tuple[list[Target], FakeStore]:
    """Return rows and documents with every outcome except a second FAILED."""
    rows = [make_target("new"), make_target("illegal/id"), *(make_target(cell) for cell in CELLS)]
    store = FakeStore.of(
        *(make_document(cell, **changes) for cell, changes in CELLS.items()),
        make_document("gone"),
        make_document("gone but sent", status=Status.SENT),
    )
    return rows, store


# Accounting


def test_every_row_ends_in_one_outcome_and_the_documents_follow_the_table() -> None:
    rows, store = _mixed()
    report = run_sync(rows, store)
    assert counts(report) == {
        Outcome.CREATED: 1,
        Outcome.REJECTED: 1,
        Outcome.WITHDRAWN: 1,
        **dict.fromkeys(CELLS, 1),
    }
    assert [campaign.rows_read for campaign in report.campaigns] == [len(rows)]
    assert of_rows(report) == len(rows)
    assert (report.cnpj, report.as_of, report.built_at) == (NUMERIC_CNPJ, AS_OF, AS_OF)
    assert sorted(write.customer_id for write in store.effects) == [
        "gone",
        "new",
        "replaced",
        "requeued",
        "updated",
    ]
    assert store.get("gone") is None
    assert store.get("gone but sent") is not None


def test_campaigns_are_counted_apart_and_one_without_rows_is_looked_at_too() -> None:
    store = FakeStore.of(make_document("gone"))
    report = run_sync([make_target("a", campaign_type="LOYALTY")], store)
    birthday, loyalty = report.campaigns
    assert (birthday.campaign_type, birthday.rows_read) == ("BIRTHDAY", 0)
    assert birthday.outcomes[Outcome.WITHDRAWN] == 1
    assert (loyalty.campaign_type, loyalty.rows_read) == ("LOYALTY", 1)
    assert loyalty.outcomes[Outcome.CREATED] == 1


def test_problems_name_the_customer_by_id_only() -> None:
    rows, store = _mixed()
    problems = {problem.customer_id: problem for problem in run_sync(rows, store).problems}
    assert {id_: problem.outcome for id_, problem in problems.items()} == {
        "illegal/id": Outcome.REJECTED,
        "exhausted": Outcome.EXHAUSTED,
        "failed": Outcome.FAILED,
    }
    assert all(problem.reason for problem in problems.values())
    assert "Ana" not in repr(problems)
    assert "+55119" not in repr(problems)


_CELLS = st.sampled_from([None, *CELLS.values(), {"expires_at": EARLIER}, {"created_at": None}])
_FAULTS = st.lists(st.sampled_from([Fault.LANDED_UNCONFIRMED, Fault.NEVER_ARRIVED]), max_size=3)


@st.composite
def _situations(draw: st.DrawFn) -> tuple[list[Target], FakeStore]:
    rows, documents = [], []
    for number in range(draw(st.integers(0, 8))):
        customer_id = f"c{number}"
        if draw(st.booleans()):
            expires_at = draw(st.sampled_from([EXPIRES_AT, AS_OF]))
            rows.append(make_target(customer_id, expires_at=expires_at))
        cell = draw(_CELLS)
        if cell is not None:
            documents.append(make_document(customer_id, **cell))
    return rows, FakeStore.of(*documents)


@given(situation=_situations())
def test_a_dry_run_writes_nothing_and_foretells_the_real_run(
    situation: tuple[list[Target], FakeStore],
) -> None:
    rows, store = situation
    before = dict(store.documents)
    foretold = run_sync(rows, store, options=DRY)
    assert store.documents == before
    assert store.asked == []
    assert foretold.is_dry_run
    report = run_sync(rows, store)
    assert counts(report) == counts(foretold)
    assert of_rows(report) == len(rows)
    assert not report.is_dry_run


@given(situation=_situations())
def test_a_second_run_of_the_same_rows_writes_nothing(
    situation: tuple[list[Target], FakeStore],
) -> None:
    rows, store = situation
    run_sync(rows, store)
    store.asked.clear()
    store.effects.clear()
    report = run_sync(rows, store)
    assert store.effects == []
    assert of_rows(report) == len(rows)
    assert not report.total(Outcome.CREATED, Outcome.UPDATED, Outcome.REQUEUED)


@given(situation=_situations(), faults=st.dictionaries(st.sampled_from("01234567"), _FAULTS))
def test_lost_confirmations_never_lead_to_a_second_message_or_a_lost_row(
    situation: tuple[list[Target], FakeStore], faults: dict[str, list[Fault]]
) -> None:
    rows, store = situation
    before = dict(store.documents)
    store.faults = {f"c{number}": [*planned] for number, planned in faults.items()}
    report = run_sync(rows, store)
    assert of_rows(report) == len(rows)
    per_document = Counter(write.customer_id for write in store.effects)
    assert all(count == 1 for count in per_document.values())
    for key, document in before.items():
        is_of_this_cycle = document.created_at is None or document.created_at >= CYCLE_START
        if document.status in (Status.SENT, Status.DELIVERED) and is_of_this_cycle:
            assert store.documents[key] == document


# Refusals before any write


def _assert_refused(store: FakeStore, built_at: datetime | None, rows: list[Target]) -> RunError:
    before = dict(store.documents)
    with pytest.raises(RunError) as refused:
        run_sync(rows, store, built_at=built_at)
    assert store.asked == []
    assert store.documents == before
    assert refused.value.exit_code == ExitCode.FAILED
    assert refused.value.hint
    return refused.value


def test_targets_that_were_never_published_are_refused() -> None:
    error = _assert_refused(FakeStore.of(make_document("gone")), None, [])
    assert f"{NUMERIC_CNPJ}_CAMPAIGN.campaign_targets has never been published" in error.message
    assert f"vmhub build --cnpj {NUMERIC_CNPJ}" in error.hint


def test_stale_targets_are_refused_and_nobody_is_withdrawn() -> None:
    built_at = AS_OF - timedelta(hours=2) - MICROSECOND
    rows = [make_target("new", built_at=built_at)]
    error = _assert_refused(FakeStore.of(make_document("gone")), built_at, rows)
    assert "stale" in error.message


def test_targets_of_exactly_the_maximal_age_are_taken() -> None:
    built_at = AS_OF - timedelta(hours=2)
    report = run_sync([make_target("new", built_at=built_at)], FakeStore(), built_at=built_at)
    assert report.total(Outcome.CREATED) == 1
    assert report.built_at == built_at


def test_the_maximal_age_can_be_changed() -> None:
    built_at = AS_OF - timedelta(minutes=11)
    options = SyncOptions(max_age=timedelta(minutes=10))
    with pytest.raises(RunError, match="stale"):
        run_sync([], FakeStore(), built_at=built_at, options=options)
    run_sync([], FakeStore(), built_at=built_at, options=SyncOptions(max_age=timedelta(minutes=11)))


def test_targets_built_later_than_the_run_are_refused() -> None:
    built_at = AS_OF + MICROSECOND
    rows = [make_target("new", built_at=built_at)]
    error = _assert_refused(FakeStore.of(make_document("gone")), built_at, rows)
    assert "later than this run" in error.message


@pytest.mark.parametrize("distance", [-timedelta(hours=1), MICROSECOND])
def test_targets_of_another_build_than_the_published_one_are_refused(distance: timedelta) -> None:
    rows = [make_target("a"), make_target("b", built_at=AS_OF + distance)]
    error = _assert_refused(FakeStore.of(make_document("gone")), AS_OF, rows)
    assert "not what was last published" in error.message


def test_a_dry_run_is_refused_like_a_real_one() -> None:
    with pytest.raises(RunError, match="stale"):
        run_sync([], FakeStore(), built_at=AS_OF - timedelta(hours=3), options=DRY)


# The guard against withdrawing too much


def _pending(count: int, prefix: str = "gone", **changes: Any) -> list[TargetDocument]:
    return [make_document(f"{prefix}-{number:03}", **changes) for number in range(count)]


def test_twenty_documents_are_withdrawn_without_asking() -> None:
    store = FakeStore.of(*_pending(20))
    assert run_sync([], store).total(Outcome.WITHDRAWN) == 20
    assert store.documents == {}


def test_twenty_one_of_forty_one_withdrawals_are_refused_and_nothing_is_written() -> None:
    kept = _pending(20, "kept")
    store = FakeStore.of(*_pending(21), *kept)
    rows = [make_target("new"), *(make_target(document.customer_id) for document in kept)]
    error = _assert_refused(store, AS_OF, rows)
    assert "21 of 41 pending targets would be withdrawn, more than 50 %" in error.message
    assert "--max-withdraw-percent 52" in error.hint


def test_the_percentage_in_the_hint_lets_the_withdrawals_through_and_one_less_does_not() -> None:
    kept = _pending(20, "kept")
    rows = [make_target(document.customer_id) for document in kept]
    store = FakeStore.of(*_pending(21), *kept)
    with pytest.raises(RunError, match="--max-withdraw-percent 52"):
        run_sync(rows, store, options=SyncOptions(max_withdraw_percent=51))
    report = run_sync(rows, store, options=SyncOptions(max_withdraw_percent=52))
    assert report.total(Outcome.WITHDRAWN) == 21


def test_exactly_half_of_the_pending_documents_may_go() -> None:
    kept = _pending(21, "kept")
    store = FakeStore.of(*_pending(21), *kept)
    report = run_sync([make_target(document.customer_id) for document in kept], store)
    assert report.total(Outcome.WITHDRAWN) == 21


def test_an_opt_out_passes_the_guard_and_the_others_stay() -> None:
    store = FakeStore.of(*_pending(29), *_pending(1, "opted-out"))
    source = FakeSource([], opt_outs={("BIRTHDAY", "opted-out-000"), ("BIRTHDAY", "elsewhere")})
    with pytest.raises(RunError) as refused:
        run_sync(source, store)
    assert "30 of 30" in refused.value.message
    assert "only the 1 of customers who opted out were withdrawn" in refused.value.message
    assert ("BIRTHDAY", "opted-out-000") not in store.documents
    assert len(store.documents) == 29
    # Nothing is left to do for the opt-out, and the guard still holds.
    with pytest.raises(RunError, match="29 of 29 pending targets"):
        run_sync(source, store)


def test_the_guard_adds_up_all_campaigns() -> None:
    store = FakeStore.of(*_pending(15))
    store.documents.update(FakeStore.of(*_pending(15), campaign_type="LOYALTY").documents)
    rows = [make_target("new", campaign_type="LOYALTY")]
    error = _assert_refused(store, AS_OF, rows)
    assert "30 of 30" in error.message


def test_expired_documents_go_every_evening_and_do_not_count_for_the_guard() -> None:
    store = FakeStore.of(*_pending(100, "expired", expires_at=AS_OF), *_pending(20))
    assert run_sync([], store).total(Outcome.WITHDRAWN) == 120


def test_expired_documents_do_not_make_room_for_withdrawals() -> None:
    expired = _pending(100, "expired", expires_at=AS_OF)
    error = _assert_refused(FakeStore.of(*expired, *_pending(21)), AS_OF, [])
    assert "21 of 21" in error.message
    assert "--max-withdraw-percent 100" in error.hint


def test_claimed_documents_are_neither_withdrawn_nor_counted_as_withdrawals() -> None:
    claimed = _pending(30, "claimed", claimed_until=AS_OF + MICROSECOND)
    store = FakeStore.of(*claimed)
    assert counts(run_sync([], store)) == {}
    assert len(store.documents) == 30


def test_a_dry_run_meets_the_guard_too() -> None:
    with pytest.raises(RunError, match="21 of 21"):
        run_sync([], FakeStore.of(*_pending(21)), options=DRY)


# Rows that cannot become documents


@pytest.mark.parametrize(
    "customer_id",
    ["", ".", "..", "a/b", "/", "__reserved__", "____", "a" * 1501, "é" * 751],
    ids=lambda id_: f"{id_[:12]} ({len(id_)})",
)
def test_a_row_with_an_illegal_document_id_is_rejected(customer_id: str) -> None:
    store = FakeStore()
    report = run_sync([make_target(customer_id), make_target("fine")], store)
    assert counts(report) == {Outcome.REJECTED: 1, Outcome.CREATED: 1}
    assert report.problems[0].reason == "the customer id is not a legal document id"
    assert [write.customer_id for write in store.asked] == ["fine"]


@pytest.mark.parametrize(
    "customer_id",
    ["...", ".a", "__a", "a__", "___", " ", "😀 x", "a" * 1500, "é" * 750],
    ids=lambda id_: f"{id_[:12]} ({len(id_)})",
)
def test_a_row_with_an_unusual_but_legal_document_id_is_taken(customer_id: str) -> None:
    assert counts(run_sync([make_target(customer_id)], FakeStore())) == {Outcome.CREATED: 1}


@pytest.mark.parametrize(
    "phone",
    [
        "",
        "5511900000001",
        "+05511900000001",
        "+55 11 90000-0001",
        "+551190000000123456",
        "+5511",
        "+55119000000a1",
        "+5511900000001\n",
        "+551190000000\u0661",
    ],
)
def test_a_row_whose_phone_is_not_e164_is_rejected_without_naming_it(phone: str) -> None:
    store = FakeStore()
    report = run_sync([make_target(phone=phone)], store)
    assert counts(report) == {Outcome.REJECTED: 1}
    assert report.problems[0].reason == "the phone is not in E.164"
    assert store.asked == []


def test_a_target_that_expires_now_is_rejected_and_one_a_moment_later_is_not() -> None:
    report = run_sync(
        [
            make_target("expired", expires_at=AS_OF),
            make_target("just in time", expires_at=AS_OF + MICROSECOND),
        ],
        FakeStore(),
    )
    assert counts(report) == {Outcome.REJECTED: 1, Outcome.CREATED: 1}
    assert report.problems[0].customer_id == "expired"
    assert "expired at 2026-11-23 13:00:00Z" in report.problems[0].reason


def test_a_row_whose_payload_firestore_cannot_hold_is_rejected_with_the_reason() -> None:
    store = FakeStore()
    report = run_sync([make_target("large", data="x" * (MAX_DATA + 1)), make_target("fine")], store)
    assert counts(report) == {Outcome.REJECTED: 1, Outcome.CREATED: 1}
    assert report.problems[0].customer_id == "large"
    assert report.problems[0].reason == "the payload is too large"
    assert [write.customer_id for write in store.asked] == ["fine"]


def test_a_payload_that_firestore_cannot_hold_leaves_the_pending_document_as_it_was() -> None:
    store = FakeStore.of(make_document("c1"))
    report = run_sync([make_target("c1", data="x" * (MAX_DATA + 1))], store)
    assert counts(report) == {Outcome.REJECTED: 1}
    assert store.get("c1") == make_document("c1")


@pytest.mark.parametrize("column", Target._fields)
def test_a_row_with_a_null_is_rejected_or_stops_the_run(column: str) -> None:
    without: dict[str, Any] = {column: None}
    rows = [make_target("a")._replace(**without), make_target("b")]
    if column in ("cnpj", "campaign_type", "built_at"):
        with pytest.raises(RunError):
            run_sync(rows, FakeStore())
        return
    report = run_sync(rows, FakeStore())
    assert report.total(Outcome.REJECTED) == 1
    assert report.total(Outcome.CREATED) == 1
    assert report.problems[0].reason == f"{column} is NULL"


def test_the_second_row_of_a_customer_in_a_campaign_is_rejected() -> None:
    store = FakeStore()
    report = run_sync(
        [
            make_target("twice"),
            make_target("twice", name="Outra Exemplo"),
            make_target("twice", campaign_type="LOYALTY"),
        ],
        store,
    )
    assert counts(report) == {Outcome.REJECTED: 1, Outcome.CREATED: 2}
    assert report.problems[0].reason == "a second row for the same customer"
    document = store.get("twice")
    assert document is not None
    assert document.payload == payload_digest(make_target("twice"))


def test_a_good_row_behind_a_rejected_one_of_the_same_customer_is_taken() -> None:
    report = run_sync([make_target(phone="none"), make_target()], FakeStore())
    assert counts(report) == {Outcome.REJECTED: 1, Outcome.CREATED: 1}


def test_a_rejected_row_does_not_keep_a_pending_document_alive() -> None:
    store = FakeStore.of(make_document("c1"))
    report = run_sync([make_target("c1", phone="none")], store)
    assert counts(report) == {Outcome.REJECTED: 1, Outcome.WITHDRAWN: 1}
    assert store.documents == {}


# Lost races


def _sends(customer_id: str, status: str = Status.SENT) -> Callable[[FakeStore], None]:
    def send(store: FakeStore) -> None:
        document = store.get(customer_id) or make_document(customer_id)
        store.put(replace(document, status=status, attempts=document.attempts + 1))

    return send


@pytest.mark.parametrize("cell", [None, CELLS[Outcome.UPDATED]], ids=["create", "update"])
def test_a_message_sent_between_reading_and_writing_is_not_overwritten(
    cell: dict[str, Any] | None,
) -> None:
    store = FakeStore.of(*([] if cell is None else [make_document(**cell)]))
    store.faults = {"c1": [_sends("c1")]}
    assert counts(run_sync([make_target()], store)) == {Outcome.ALREADY_SENT: 1}
    assert store.effects == []


def test_a_replacement_that_lost_its_race_is_decided_again() -> None:
    store = FakeStore.of(make_document(**CELLS[Outcome.REPLACED]))

    def recreate(store: FakeStore) -> None:
        store.put(make_document(name="Ana Antiga"))

    # A SENT document is found only when its creation fails: the race is lost by the second write.
    store.faults = {"c1": [lambda _: None, recreate]}
    assert counts(run_sync([make_target()], store)) == {Outcome.UPDATED: 1}
    assert [write.action for write in store.asked] == [
        Action.CREATE,
        Action.REPLACE,
        Action.UPDATE,
    ]


def test_a_claim_between_reading_and_withdrawing_keeps_the_document() -> None:
    store = FakeStore.of(make_document("gone"))

    def claim(store: FakeStore) -> None:
        store.put(make_document("gone", claimed_until=AS_OF + timedelta(minutes=5)))

    store.faults = {"gone": [claim]}
    assert counts(run_sync([], store)) == {}
    assert store.get("gone") is not None


def test_a_document_that_somebody_else_deleted_is_not_counted_as_withdrawn() -> None:
    store = FakeStore.of(make_document("gone"))
    store.faults = {"gone": [lambda store: store.documents.clear()]}
    assert counts(run_sync([], store)) == {}


def test_a_withdrawal_that_lost_to_a_harmless_change_is_made_again() -> None:
    store = FakeStore.of(make_document("gone"))
    store.faults = {"gone": [lambda store: store.put(make_document("gone", name="Ana E."))]}
    assert counts(run_sync([], store)) == {Outcome.WITHDRAWN: 1}
    assert store.documents == {}


def test_a_document_deleted_under_an_update_is_created() -> None:
    store = FakeStore.of(make_document(**CELLS[Outcome.UPDATED]))
    store.faults = {"c1": [lambda store: store.documents.clear()]}
    assert counts(run_sync([make_target()], store)) == {Outcome.CREATED: 1}
    assert store.get("c1") is not None


def test_a_lost_race_is_decided_again_at_once() -> None:
    clock = FakeClock()
    store = FakeStore.of(make_document(**CELLS[Outcome.ALREADY_SENT]))
    run_sync([make_target()], store, clock=clock)
    assert clock.sleeps == []


# Unknown results


_PLANNED: dict[Outcome, dict[str, Any] | None] = {
    Outcome.CREATED: None,
    Outcome.REPLACED: {"created_at": LAST_CYCLE},
    Outcome.UPDATED: CELLS[Outcome.UPDATED],
}


@pytest.mark.parametrize("outcome", _PLANNED)
def test_a_write_that_landed_without_confirmation_is_counted_once_for_what_it_did(
    outcome: Outcome,
) -> None:
    cell = _PLANNED[outcome]
    store = FakeStore.of(*([] if cell is None else [make_document(**cell)]))
    store.faults = {"c1": [Fault.LANDED_UNCONFIRMED]}
    assert counts(run_sync([make_target()], store)) == {outcome: 1}
    assert len(store.asked) == 1


@pytest.mark.parametrize("outcome", _PLANNED)
def test_a_write_that_never_arrived_is_written_again(outcome: Outcome) -> None:
    cell = _PLANNED[outcome]
    store = FakeStore.of(*([] if cell is None else [make_document(**cell)]))
    store.faults = {"c1": [Fault.NEVER_ARRIVED]}
    assert counts(run_sync([make_target()], store)) == {outcome: 1}
    assert len(store.asked) == 2
    assert len(store.effects) == 1


@pytest.mark.parametrize("fault", [Fault.LANDED_UNCONFIRMED, Fault.NEVER_ARRIVED])
def test_a_requeue_without_confirmation_is_read_back_too(fault: Fault) -> None:
    store = FakeStore.of(make_document(**CELLS[Outcome.REQUEUED]))
    # The first try is a creation, which finds the document.
    store.faults = {"c1": [lambda _: None, fault]}
    assert counts(run_sync([make_target()], store)) == {Outcome.REQUEUED: 1}
    assert len(store.effects) == 1
    document = store.get("c1")
    assert document is not None
    assert (document.status, document.attempts) == (Status.PENDING, 1)


@pytest.mark.parametrize("fault", [Fault.LANDED_UNCONFIRMED, Fault.NEVER_ARRIVED])
def test_a_withdrawal_without_confirmation_is_counted_once_it_can_be_seen(fault: Fault) -> None:
    store = FakeStore.of(make_document("gone"))
    store.faults = {"gone": [fault]}
    assert counts(run_sync([], store)) == {Outcome.WITHDRAWN: 1}
    assert store.documents == {}


@pytest.mark.parametrize("faults", [[], [Fault.LANDED_UNCONFIRMED], [Fault.NEVER_ARRIVED]])
def test_attempts_are_counted_on_when_what_was_withdrawn_gets_a_row_again(
    faults: list[Fault],
) -> None:
    store = FakeStore.of(make_document(attempts=2, was_attempted=True, is_recorded=False))
    store.faults = {"c1": [*faults]}
    assert counts(run_sync([], store)) == {Outcome.WITHDRAWN: 1}
    withdrawn = store.get("c1")
    assert withdrawn is not None
    assert (withdrawn.status, withdrawn.attempts) == (Status.FAILED, 2)
    assert counts(run_sync([make_target()], store)) == {Outcome.REQUEUED: 1}
    queued = store.get("c1")
    assert queued is not None
    assert (queued.status, queued.attempts) == (Status.PENDING, 2)


def test_a_document_that_was_sent_before_its_creation_was_confirmed_is_not_written_again() -> None:
    store = FakeStore()
    store.faults = {"c1": [Fault.LANDED_UNCONFIRMED]}

    class SendingClock(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            _sends("c1")(store)

    report = run_sync([make_target()], store, clock=SendingClock())
    assert of_rows(report) == 1
    assert len(store.asked) == 1
    document = store.get("c1")
    assert document is not None
    assert document.status == Status.SENT


def test_an_update_that_never_arrived_is_not_taken_for_an_earlier_run_of_the_same_instant() -> None:
    # Built and synced a second time with the same --as-of, after a setting was changed.
    store = FakeStore.of(make_document(name="Ana Antiga", created_at=AS_OF, updated_at=AS_OF))
    store.faults = {"c1": [Fault.NEVER_ARRIVED]}
    assert counts(run_sync([make_target()], store)) == {Outcome.UPDATED: 1}
    document = store.get("c1")
    assert document is not None
    assert document.payload == payload_digest(make_target())


@pytest.mark.parametrize("cell", [Outcome.UPDATED, Outcome.REQUEUED])
def test_a_run_that_was_frozen_does_not_hide_a_later_write_from_tracking(
    cell: Outcome,
) -> None:
    later = AS_OF + timedelta(hours=8)
    store = FakeStore.of(make_document(created_at=AS_OF, updated_at=later, **CELLS[cell]))
    store.faults = {"c1": [Fault.NEVER_ARRIVED, Fault.LANDED_UNCONFIRMED]}
    assert counts(run_sync([make_target()], store)) == {cell: 1}
    document = store.get("c1")
    assert document is not None
    assert document.status == Status.PENDING
    assert document.updated_at is not None
    assert later < document.updated_at < later + timedelta(seconds=1)


def test_a_write_that_is_never_confirmed_ends_as_failed_with_a_reason() -> None:
    store = FakeStore()
    store.faults = {"c1": [Fault.NEVER_ARRIVED] * 100}
    report = run_sync([make_target(), make_target("fine")], store)
    assert counts(report) == {Outcome.FAILED: 1, Outcome.CREATED: 1}
    (problem,) = report.problems
    assert (problem.customer_id, problem.outcome) == ("c1", Outcome.FAILED)
    assert "no write was confirmed" in problem.reason
    assert sum(write.customer_id == "c1" for write in store.asked) > 3


def test_a_write_that_firestore_refuses_for_good_is_failed_and_not_repeated() -> None:
    store = FakeStore()
    store.faults = {"c1": ["Firestore refused the write with PERMISSION_DENIED"]}
    report = run_sync([make_target(), make_target("fine")], store)
    assert counts(report) == {Outcome.FAILED: 1, Outcome.CREATED: 1}
    assert report.problems[0].reason == "Firestore refused the write with PERMISSION_DENIED"
    assert len(store.asked) == 2


@pytest.mark.parametrize(
    "faults",
    [["Firestore refused the write with PERMISSION_DENIED"], [Fault.NEVER_ARRIVED] * 100],
    ids=["refused", "never confirmed"],
)
def test_a_withdrawal_that_fails_is_reported_and_the_rows_still_add_up(
    faults: list[Fault | str],
) -> None:
    store = FakeStore.of(make_document("gone"))
    store.faults = {"gone": [*faults]}
    report = run_sync([make_target("new")], store)
    assert report.total(Outcome.CREATED) == 1
    assert [problem.customer_id for problem in report.problems] == ["gone"]
    assert report.problems[0].reason


# Reading back


def _unavailable(count: int = 1) -> Iterator[ServiceError]:
    return (ServiceError("does not answer", is_transient=True) for _ in range(count))


def test_a_reading_back_that_fails_for_a_moment_is_repeated() -> None:
    store = FakeStore()
    store.faults = {"c1": [_sends("c1")]}
    store.read_errors = _unavailable()
    assert counts(run_sync([make_target()], store)) == {Outcome.ALREADY_SENT: 1}
    assert store.effects == []


@pytest.mark.parametrize(
    ("rows", "documents", "outcome"),
    [
        ([make_target("c1")], [], Outcome.CREATED),
        ([], [make_document("c1")], Outcome.WITHDRAWN),
    ],
    ids=["created", "withdrawn"],
)
def test_what_landed_is_counted_for_what_it_did_even_when_it_is_read_back_late(
    rows: list[Target], documents: list[TargetDocument], outcome: Outcome
) -> None:
    store = FakeStore.of(*documents)
    store.faults = {"c1": [Fault.LANDED_UNCONFIRMED]}
    store.read_errors = _unavailable()
    report = run_sync(rows, store)
    assert len(store.effects) == 1
    assert counts(report) == {outcome: 1}


def test_rows_that_can_never_be_read_back_end_as_failed() -> None:
    store = FakeStore()
    store.faults = {"c1": [Fault.NEVER_ARRIVED] * 100}
    store.read_errors = _unavailable(100)
    report = run_sync([make_target(), make_target("fine")], store)
    assert counts(report) == {Outcome.FAILED: 1, Outcome.CREATED: 1}


def test_a_reading_back_that_is_refused_for_good_ends_the_run_and_fails_its_rows() -> None:
    store = FakeStore()
    store.faults = {"c1": [Fault.NEVER_ARRIVED]}
    store.read_errors = iter([ServiceError("answered PERMISSION_DENIED")])
    report = run_sync([make_target("c1"), make_target("c2")], store)
    assert counts(report) == {Outcome.FAILED: 1, Outcome.CREATED: 1}
    assert report.stopped is not None
    assert "PERMISSION_DENIED" in report.stopped.reason
    assert report.exit_code == ExitCode.FAILED


# Pauses


def _pauses(
    faults: Iterable[Fault | Callable[[FakeStore], None]], rng: Random | None = None
) -> list[float]:
    clock = FakeClock()
    store = FakeStore()
    store.faults = {"c1": [*faults]}
    retry = Retry(clock=clock, sleep=clock.sleep, rng=rng or Random(1))
    run_sync([make_target()], store, retry=retry)
    return clock.sleeps


def test_a_write_is_tried_until_the_patience_is_over() -> None:
    pauses = _pauses([Fault.NEVER_ARRIVED] * 1000)
    longest = max(pauses)
    assert 120 <= sum(pauses) < 120 + longest


def test_a_run_without_trouble_never_sleeps() -> None:
    assert _pauses([]) == []


def test_races_that_go_on_are_slowed_down() -> None:
    def change(store: FakeStore) -> None:
        store.put(make_document(name=f"Version {len(store.asked)}"))

    assert _pauses([change] * 4)


def _writes_of(store: FakeStore, customer_id: str) -> list[Write]:
    return [write for write in store.asked if write.customer_id == customer_id]


def test_only_what_is_unsettled_is_written_again() -> None:
    store = FakeStore()
    store.faults = {"c1": [Fault.NEVER_ARRIVED]}
    run_sync([make_target("c1"), make_target("c2")], store)
    assert len(_writes_of(store, "c1")) == 2
    assert len(_writes_of(store, "c2")) == 1
