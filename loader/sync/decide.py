"""What to do with a row and the document it finds: the table in docs/sync.md, as pure functions.

Nothing here uses a client or a clock, so each cell of that table is tested with one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING

from loader.sync.model import Outcome, Status

if TYPE_CHECKING:
    from datetime import datetime

    from loader.sync.model import Target, TargetDocument

__all__ = ["Action", "PlannedAction", "decide", "must_withdraw"]


class Action(Enum):
    """What to write; each has a precondition."""

    NONE = auto()
    CREATE = auto()
    REPLACE = auto()
    UPDATE = auto()
    REQUEUE = auto()
    WITHDRAW = auto()


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """An action, and the outcome to count once it has taken effect."""

    action: Action
    outcome: Outcome
    reason: str = ""


_CREATE = PlannedAction(Action.CREATE, Outcome.CREATED)
_REPLACE = PlannedAction(Action.REPLACE, Outcome.REPLACED)
_UPDATE = PlannedAction(Action.UPDATE, Outcome.UPDATED)
_REQUEUE = PlannedAction(Action.REQUEUE, Outcome.REQUEUED)
_UNCHANGED = PlannedAction(Action.NONE, Outcome.UNCHANGED)
_IN_FLIGHT = PlannedAction(Action.NONE, Outcome.IN_FLIGHT)
_UNTRACKED = PlannedAction(
    Action.NONE, Outcome.IN_FLIGHT, "the message of an older cycle is not in message_history yet"
)
# A sender claims for minutes.
_LONGEST_CLAIM = timedelta(days=1)
_STRANGE_CLAIM = PlannedAction(
    Action.NONE, Outcome.FAILED, "left alone: claimedUntil is more than a day ahead"
)
_ALREADY_SENT = PlannedAction(Action.NONE, Outcome.ALREADY_SENT)


def decide(
    target: Target,
    document: TargetDocument | None,
    *,
    payload: bytes,
    as_of: datetime,
    max_attempts: int,
) -> PlannedAction:
    """Return what to do with the document of a row of campaign_targets.

    Args:
        target: The row.
        document: The document under the row's customer id, or None.
        payload: The digest of the payload that the row asks for.
        as_of: The run's instant; it is "now" for claims and retries.
        max_attempts: Failed attempts after which a document is left alone in its cycle.

    """
    if document is None:
        return _CREATE
    # A document without createdAt counts as part of this cycle: in doubt, no second message is
    # sent.
    is_older_cycle = document.created_at is not None and document.created_at < target.cycle_start
    if not is_older_cycle and document.status in (Status.SENT, Status.DELIVERED):
        return _ALREADY_SENT
    if document.doubt:
        return PlannedAction(Action.NONE, Outcome.FAILED, f"left alone: {document.doubt}")
    if _is_claimed(document, as_of):
        assert document.claimed_until is not None
        if document.claimed_until - as_of > _LONGEST_CLAIM:
            return _STRANGE_CLAIM
        return _IN_FLIGHT
    if is_older_cycle:
        return _REPLACE if document.is_recorded else _UNTRACKED
    if document.status == Status.PENDING:
        if document.has_open_attempt:
            return _IN_FLIGHT
        return _UNCHANGED if document.payload == payload else _UPDATE
    if document.status == Status.FAILED:
        return _after_failure(document, as_of=as_of, max_attempts=max_attempts)
    return PlannedAction(
        Action.NONE,
        Outcome.FAILED,
        # Not quoted: another program may have written any text.
        f"left alone: the document's status is none of {', '.join(Status)}",
    )


def must_withdraw(document: TargetDocument, *, as_of: datetime) -> bool:
    """Return whether a document without a row is withdrawn.

    It must be PENDING, not claimed, not in doubt, and without a message that may still be on its
    way. A document that was never attempted is deleted. One that was attempted goes back to FAILED:
    its attempts still count if it gets a row again in the same cycle.
    """
    return (
        document.status == Status.PENDING
        and not document.has_open_attempt
        and not document.doubt
        and not _is_claimed(document, as_of)
    )


def _after_failure(
    document: TargetDocument, *, as_of: datetime, max_attempts: int
) -> PlannedAction:
    if not document.is_recoverable:
        return PlannedAction(Action.NONE, Outcome.EXHAUSTED, "the last error is final")
    if document.attempts >= max_attempts:
        return PlannedAction(
            Action.NONE, Outcome.EXHAUSTED, f"{document.attempts} of {max_attempts} attempts failed"
        )
    if document.next_attempt_at is not None and document.next_attempt_at > as_of:
        return _IN_FLIGHT
    return _REQUEUE


def _is_claimed(document: TargetDocument, as_of: datetime) -> bool:
    return document.claimed_until is not None and document.claimed_until > as_of
