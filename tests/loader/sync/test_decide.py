"""What sync does with a row and a document: each cell of the table in docs/sync.md."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.sync.decide import Action, PlannedAction, decide, must_withdraw
from loader.sync.model import Outcome, Status, TargetDocument
from tests.loader.fakes import (
    CYCLE_START,
    EXPIRES_AT,
    MICROSECOND,
    make_document,
    make_target,
    payload_digest,
)
from tests.support import AS_OF

LAST_CYCLE = CYCLE_START - timedelta(days=30)
STATUSES = (*Status, "QUEUED", None)


def _decide(document: TargetDocument | None, **changes: Any) -> PlannedAction:
    target = make_target(**changes)
    return decide(target, document, payload=payload_digest(target), as_of=AS_OF, max_attempts=3)


def test_a_row_without_a_document_creates_one() -> None:
    assert _decide(None) == PlannedAction(Action.CREATE, Outcome.CREATED)


@pytest.mark.parametrize("status", STATUSES)
def test_a_document_of_an_older_cycle_is_replaced_whatever_its_status(status: str | None) -> None:
    document = make_document(status=status, created_at=LAST_CYCLE, attempts=3)
    assert _decide(document) == PlannedAction(Action.REPLACE, Outcome.REPLACED)


@pytest.mark.parametrize("status", [Status.SENT, Status.DELIVERED])
def test_the_cycle_begins_at_cycle_start_itself(status: Status) -> None:
    at_start = make_document(status=status, created_at=CYCLE_START)
    just_before = replace(at_start, created_at=CYCLE_START - MICROSECOND)
    assert _decide(at_start) == PlannedAction(Action.NONE, Outcome.ALREADY_SENT)
    assert _decide(just_before).action is Action.REPLACE


def test_a_pending_document_with_the_same_payload_is_unchanged() -> None:
    assert _decide(make_document()) == PlannedAction(Action.NONE, Outcome.UNCHANGED)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Ana Maria Exemplo"},
        {"phone": "+5511900000002"},
        {"data": {"message": "Parabéns!"}},
        {"expires_at": EXPIRES_AT + timedelta(days=1)},
        {"cycle_key": "2027"},
        {"cycle_start": CYCLE_START + MICROSECOND},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_pending_document_with_another_payload_is_updated(change: dict[str, Any]) -> None:
    assert _decide(make_document(), **change) == PlannedAction(Action.UPDATE, Outcome.UPDATED)


@pytest.mark.parametrize("missing", ["name", "phone", "data", "expires_at", "cycle_key"])
def test_a_pending_document_that_lacks_a_field_is_completed(missing: str) -> None:
    changes: dict[str, Any] = {missing: None}
    document = make_document(**changes)
    assert _decide(document).action is Action.UPDATE


@pytest.mark.parametrize("status", [Status.PENDING, Status.FAILED, "QUEUED", None])
@pytest.mark.parametrize("created_at", [CYCLE_START, LAST_CYCLE, None])
def test_a_claimed_document_is_left_to_its_sender(status: str | None, created_at: Any) -> None:
    document = make_document(
        status=status, created_at=created_at, claimed_until=AS_OF + MICROSECOND, name="Other"
    )
    assert _decide(document) == PlannedAction(Action.NONE, Outcome.IN_FLIGHT)
    assert not must_withdraw(document, as_of=AS_OF)


@pytest.mark.parametrize("status", [Status.SENT, Status.DELIVERED])
def test_a_claimed_document_of_an_older_cycle_that_was_sent_is_left(status: Status) -> None:
    document = make_document(
        status=status, created_at=LAST_CYCLE, claimed_until=AS_OF + MICROSECOND
    )
    assert _decide(document) == PlannedAction(Action.NONE, Outcome.IN_FLIGHT)


@pytest.mark.parametrize("status", [Status.PENDING, Status.FAILED, "QUEUED", None])
@pytest.mark.parametrize("created_at", [CYCLE_START, LAST_CYCLE, None])
def test_a_document_in_doubt_is_left_alone_and_reported(
    status: str | None, created_at: Any
) -> None:
    document = make_document(status=status, created_at=created_at, doubt="claimedUntil is a map")
    decision = _decide(document)
    assert (decision.action, decision.outcome) == (Action.NONE, Outcome.FAILED)
    assert decision.reason == "left alone: claimedUntil is a map"
    assert not must_withdraw(document, as_of=AS_OF)


def test_a_claim_for_more_than_a_day_is_respected_and_reported() -> None:
    document = make_document(claimed_until=AS_OF + timedelta(days=1) + MICROSECOND)
    decision = _decide(document)
    assert (decision.action, decision.outcome) == (Action.NONE, Outcome.FAILED)
    assert decision.reason == "left alone: claimedUntil is more than a day ahead"
    assert not must_withdraw(document, as_of=AS_OF)


def test_a_claim_that_ends_now_has_ended() -> None:
    document = make_document(claimed_until=AS_OF, name="Other")
    assert _decide(document).action is Action.UPDATE
    assert must_withdraw(document, as_of=AS_OF)


def test_an_attempt_whose_end_is_unknown_is_left_until_the_next_cycle() -> None:
    document = make_document(has_open_attempt=True, name="Other")
    assert _decide(document) == PlannedAction(Action.NONE, Outcome.IN_FLIGHT)
    assert not must_withdraw(document, as_of=AS_OF)
    assert _decide(replace(document, created_at=LAST_CYCLE)).action is Action.REPLACE


@pytest.mark.parametrize("status", [Status.SENT, Status.DELIVERED])
@pytest.mark.parametrize("claimed_until", [None, AS_OF - MICROSECOND, AS_OF + MICROSECOND])
def test_a_document_sent_in_this_cycle_is_left(status: Status, claimed_until: Any) -> None:
    document = make_document(status=status, claimed_until=claimed_until, name="Other")
    assert _decide(document) == PlannedAction(Action.NONE, Outcome.ALREADY_SENT)


@pytest.mark.parametrize("status", [Status.SENT, Status.DELIVERED])
def test_a_sent_document_that_does_not_say_when_it_was_created_counts_as_this_cycles(
    status: Status,
) -> None:
    document = make_document(status=status, created_at=None)
    assert _decide(document) == PlannedAction(Action.NONE, Outcome.ALREADY_SENT)


@pytest.mark.parametrize("next_attempt_at", [None, AS_OF - timedelta(minutes=1), AS_OF])
@pytest.mark.parametrize("attempts", [0, 1, 2])
def test_a_recoverable_failure_is_requeued_once_its_pause_is_over(
    attempts: int, next_attempt_at: Any
) -> None:
    document = make_document(
        status=Status.FAILED, attempts=attempts, next_attempt_at=next_attempt_at
    )
    assert _decide(document) == PlannedAction(Action.REQUEUE, Outcome.REQUEUED)


def test_a_recoverable_failure_waits_for_its_next_attempt() -> None:
    document = make_document(status=Status.FAILED, attempts=1, next_attempt_at=AS_OF + MICROSECOND)
    assert _decide(document) == PlannedAction(Action.NONE, Outcome.IN_FLIGHT)


@pytest.mark.parametrize("attempts", [3, 4])
@pytest.mark.parametrize("next_attempt_at", [None, AS_OF + timedelta(hours=1)])
def test_a_failure_with_all_attempts_used_is_left_for_review(
    attempts: int, next_attempt_at: Any
) -> None:
    document = make_document(
        status=Status.FAILED, attempts=attempts, next_attempt_at=next_attempt_at
    )
    decision = _decide(document)
    assert (decision.action, decision.outcome) == (Action.NONE, Outcome.EXHAUSTED)
    assert decision.reason == f"{attempts} of 3 attempts failed"


def test_a_final_failure_is_left_for_review_after_its_first_attempt() -> None:
    decision = _decide(make_document(status=Status.FAILED, attempts=1, is_recoverable=False))
    assert (decision.action, decision.outcome) == (Action.NONE, Outcome.EXHAUSTED)
    assert "final" in decision.reason


@pytest.mark.parametrize("status", ["QUEUED", "pending", "", None])
def test_a_document_of_unknown_status_is_left_and_reported(status: str | None) -> None:
    document = make_document(status=status)
    decision = _decide(document)
    assert (decision.action, decision.outcome) == (Action.NONE, Outcome.FAILED)
    assert decision.reason == (
        "left alone: the document's status is none of PENDING, SENT, DELIVERED, FAILED"
    )
    assert not must_withdraw(document, as_of=AS_OF)


@pytest.mark.parametrize("created_at", [CYCLE_START, LAST_CYCLE, None])
@pytest.mark.parametrize("status", STATUSES)
def test_without_a_row_only_a_pending_document_goes(status: str | None, created_at: Any) -> None:
    document = make_document(status=status, created_at=created_at)
    assert must_withdraw(document, as_of=AS_OF) == (status == "PENDING")


_INSTANTS = st.none() | st.sampled_from(
    [
        anchor + offset
        for anchor in (AS_OF, CYCLE_START, EXPIRES_AT)
        for offset in (-timedelta(days=1), -MICROSECOND, timedelta(), MICROSECOND)
    ]
)
_DOCUMENTS = st.builds(
    make_document,
    status=st.sampled_from(STATUSES),
    attempts=st.integers(0, 5),
    name=st.sampled_from(["Ana Exemplo", "Bia Exemplo", None]),
    created_at=_INSTANTS,
    updated_at=_INSTANTS,
    expires_at=_INSTANTS,
    claimed_until=_INSTANTS,
    next_attempt_at=_INSTANTS,
    is_recoverable=st.booleans(),
)
_OUTCOME_OF_ACTION = {
    Action.CREATE: Outcome.CREATED,
    Action.REPLACE: Outcome.REPLACED,
    Action.UPDATE: Outcome.UPDATED,
    Action.REQUEUE: Outcome.REQUEUED,
}


@given(document=_DOCUMENTS, max_attempts=st.integers(1, 5))
def test_nothing_sent_in_its_cycle_and_nothing_claimed_is_ever_touched(
    document: TargetDocument, max_attempts: int
) -> None:
    target = make_target()
    decision = decide(
        target, document, payload=payload_digest(target), as_of=AS_OF, max_attempts=max_attempts
    )
    is_of_this_cycle = document.created_at is None or document.created_at >= target.cycle_start
    is_sent = document.status in ("SENT", "DELIVERED") and is_of_this_cycle
    is_claimed = document.claimed_until is not None and document.claimed_until > AS_OF
    if is_sent or is_claimed:
        assert decision.action is Action.NONE
        assert decision.outcome in (Outcome.ALREADY_SENT, Outcome.IN_FLIGHT)
    if is_claimed or document.status != "PENDING":
        assert not must_withdraw(document, as_of=AS_OF)


@given(document=_DOCUMENTS, max_attempts=st.integers(1, 5))
def test_every_action_has_its_own_outcome_and_nobody_is_requeued_beyond_the_limit(
    document: TargetDocument, max_attempts: int
) -> None:
    decision = decide(
        make_target(),
        document,
        payload=payload_digest(make_target()),
        as_of=AS_OF,
        max_attempts=max_attempts,
    )
    if decision.action is Action.NONE:
        assert decision.outcome not in _OUTCOME_OF_ACTION.values()
    else:
        assert decision.outcome is _OUTCOME_OF_ACTION[decision.action]
    if decision.action is Action.REQUEUE:
        assert document.attempts < max_attempts
        assert document.is_recoverable
