"""Whoever has opted out: their pending documents go at once, and none is made for them."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from loader.base.erasures import ERASURES, PSEUDONYM_KEY, mark_keys
from loader.base.errors import RunError
from loader.base.persons import person_keys
from loader.base.pseudonyms import pseudonym
from loader.sync.model import Outcome, Status
from loader.sync.run import SyncOptions
from loader.wishes import SuppressionDocument, live_keys, opt_out_row
from tests.loader.fakes import (
    EARLIER,
    MICROSECOND,
    FakeSource,
    FakeStore,
    Fault,
    make_document,
    make_target,
)
from tests.loader.running import counts, of_rows, run_sync
from tests.support import AS_OF

if TYPE_CHECKING:
    from collections.abc import Callable

PHONE = "+5511990000001"
WITHOUT_NINTH = "+551190000001"
OTHER = "+5511990000002"


def suppressing(*keys: str) -> Callable[[], frozenset[str]]:
    return lambda: frozenset(keys)


BY_PHONE = suppressing(*person_keys(phone=PHONE))


def erased(*identifiers: str) -> Callable[[], frozenset[str]]:
    """Return the keys of an erasure, by the pseudonyms of a person."""
    marks = [pseudonym("a key", identifier) for identifier in identifiers]
    key = {"keys": [ERASURES, f"{PSEUDONYM_KEY}a key"]}
    documents = [
        SuppressionDocument("u", ERASURES, AS_OF, key),
        *(
            SuppressionDocument("u", mark, AS_OF, {"keys": mark_keys(mark, marks[0])})
            for mark in marks
        ),
    ]
    return lambda: live_keys(documents)


@pytest.mark.parametrize("identifier", [PHONE, "c1"])
def test_an_erased_person_is_known_by_a_pseudonym_of_id_or_phone(identifier: str) -> None:
    store = FakeStore.of(replace(make_document("c1"), phone=PHONE))
    rows = [make_target("c1", phone=PHONE), make_target("c2", phone=OTHER)]
    report = run_sync(rows, store, suppressed_keys=erased(identifier))
    assert counts(report) == {Outcome.SUPPRESSED: 1, Outcome.CREATED: 1, Outcome.WITHDRAWN: 1}


@pytest.mark.parametrize(
    "keys",
    [person_keys(phone=PHONE), person_keys(phone=WITHOUT_NINTH), person_keys(customer_id="c1")],
)
@pytest.mark.parametrize("phone", [PHONE, WITHOUT_NINTH])
def test_a_pending_document_is_withdrawn_and_none_is_made_whatever_form_the_number_has(
    keys: list[str], phone: str
) -> None:
    store = FakeStore.of(replace(make_document("c1"), phone=phone))
    rows = [make_target("c1", phone=phone), make_target("c2", phone=OTHER)]
    for expected in (
        {Outcome.SUPPRESSED: 1, Outcome.CREATED: 1, Outcome.WITHDRAWN: 1},
        {Outcome.SUPPRESSED: 1, Outcome.UNCHANGED: 1},
    ):
        report = run_sync(rows, store, suppressed_keys=suppressing(*keys))
        assert counts(report) == expected
        assert of_rows(report) == len(rows)
        assert report.exit_code == 0
    assert store.get("c1") is None


@pytest.mark.parametrize("built_at", [None, EARLIER.replace(month=1), AS_OF + MICROSECOND])
def test_they_are_withdrawn_although_the_run_is_refused(built_at: datetime | None) -> None:
    store = FakeStore.of(
        replace(make_document("c1"), phone=PHONE), replace(make_document("c2"), phone=OTHER)
    )
    with pytest.raises(RunError):
        run_sync(FakeSource([], built_at), store, suppressed_keys=BY_PHONE)
    assert store.get("c1") is None
    assert store.get("c2") is not None


def test_they_pass_the_guard_of_withdrawals_and_are_told_of() -> None:
    documents = [replace(make_document(f"c{number}"), phone=OTHER) for number in range(40)]
    store = FakeStore.of(replace(make_document("out"), phone=PHONE), *documents)
    with pytest.raises(RunError, match=r"40 of 40 .*only the 1 of customers who opted out"):
        run_sync([], store, suppressed_keys=BY_PHONE)
    assert store.get("out") is None
    assert len(store.documents) == 40


@pytest.mark.parametrize(
    "changes",
    [
        {"claimed_until": AS_OF + MICROSECOND},
        {"has_open_attempt": True, "was_attempted": True},
        {"status": Status.SENT},
        {"doubt": "attempts is a text"},
    ],
)
def test_a_message_that_may_be_on_its_way_is_left_alone(changes: dict[str, Any]) -> None:
    store = FakeStore.of(replace(make_document("c1", **changes), phone=PHONE))
    report = run_sync([make_target("c1", phone=PHONE)], store, suppressed_keys=BY_PHONE)
    assert counts(report) == {Outcome.SUPPRESSED: 1}
    assert store.effects == []


def test_one_with_attempts_goes_back_to_failed() -> None:
    store = FakeStore.of(replace(make_document("c1", was_attempted=True, attempts=1), phone=PHONE))
    run_sync([make_target("c1", phone=PHONE)], store, suppressed_keys=BY_PHONE)
    document = store.get("c1")
    assert document is not None
    assert document.status == Status.FAILED


def test_a_dry_run_counts_them_once_and_writes_nothing() -> None:
    store = FakeStore.of(replace(make_document("c1"), phone=PHONE))
    report = run_sync([], store, suppressed_keys=BY_PHONE, options=SyncOptions(is_dry_run=True))
    assert counts(report) == {Outcome.WITHDRAWN: 1}
    assert store.get("c1") is not None


def test_without_suppressions_no_document_is_read_twice() -> None:
    store = FakeStore.of(make_document("c1"))
    run_sync([make_target("c1")], store, suppressed_keys=frozenset)
    assert store.documents_read == 1


@pytest.mark.parametrize("seed", range(60))
def test_the_outcomes_add_up_and_nobody_who_opted_out_waits(seed: int) -> None:
    rng = random.Random(seed)
    phones = [f"+55119900000{number:02}" for number in range(12)]
    out = set(rng.sample(phones, k=rng.randrange(1, 6)))
    store = FakeStore.of(
        *(
            replace(make_document(f"c{number}", phone=phone), phone=phone)
            for number, phone in enumerate(phones)
            if rng.random() < 0.6
        )
    )
    faults = [Fault.NEVER_ARRIVED, Fault.LANDED_UNCONFIRMED]
    for number in range(len(phones)):
        store.faults[f"c{number}"] = [rng.choice(faults) for _ in range(rng.randrange(2))]
    rows = [
        make_target(f"c{number}", phone=phone)
        for number, phone in enumerate(phones)
        if rng.random() < 0.7
    ]
    report = run_sync(
        rows,
        store,
        suppressed_keys=suppressing(*(key for phone in out for key in person_keys(phone=phone))),
        options=SyncOptions(max_withdraw_percent=100),
    )
    assert of_rows(report) == len(rows)
    assert report.total(Outcome.SUPPRESSED) == sum(row.phone in out for row in rows)
    waiting = {
        phones[int(customer_id[1:])]
        for (_, customer_id), document in store.documents.items()
        if document.status == Status.PENDING
    }
    assert waiting.isdisjoint(out)


# What a suppression says


def wish(**fields: Any) -> SuppressionDocument:
    return SuppressionDocument("11222333000181", "e1", AS_OF, {"optedOutAt": EARLIER, **fields})


def test_keys_and_fields_name_the_person_and_what_has_ended_names_nobody() -> None:
    assert live_keys([wish(keys=["user:BR.1"], phone=PHONE, customerId="a")]) == {
        "user:BR.1",
        "phone:551190000001",
        "customer:a",
    }
    assert live_keys([wish(customerId="a", resumedAt=AS_OF)]) == frozenset()
    # In doubt it holds.
    assert live_keys([wish(customerId="a", resumedAt="soon")]) == {"customer:a"}
    assert live_keys([wish(customerId="a", resumedAt=None)]) == {"customer:a"}


def test_a_row_takes_from_the_keys_what_the_fields_lack() -> None:
    row, problems = opt_out_row(wish(keys=["phone:551190000001", "customer:a", "user:BR.1"]))
    assert problems == []
    assert (row.phone, row.user_id, row.whatsapp_user_id) == ("+551190000001", "a", "BR.1")
    assert row.opted_out_at == EARLIER


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "it names nobody"),
        ({"keys": []}, "it names nobody"),
        ({"keys": "phone:551190000001"}, "keys is a text"),
        ({"keys": [551190000001]}, "keys[0] is a number"),
        ({"phone": 5511990000001}, "phone is a number"),
        ({"customerId": "a", "optedOutAt": "at noon"}, "optedOutAt is a text"),
        ({"customerId": "a", "source": 7}, "source is a number"),
    ],
)
def test_whatever_cannot_be_read_the_wish_is_a_row_and_told_of(
    fields: dict[str, Any], problem: str
) -> None:
    row, problems = opt_out_row(wish(**fields))
    assert problems[0].startswith(problem)
    assert row.event_id == "e1"
    assert row.opted_out_at in (AS_OF, EARLIER)


def test_instants_are_in_utc() -> None:
    row, _ = opt_out_row(wish(customerId="a", optedOutAt="2026-11-23T10:00:00-03:00"))
    assert row.opted_out_at == datetime(2026, 11, 23, 13, tzinfo=UTC)
