"""What the answer to a POST proves, and what follows. Pure; docs/sending.md has the table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from whatsapp.error_classes import UNSETTLED_CODES, ErrorClass

if TYPE_CHECKING:
    import random

    from whatsapp.error_classes import ErrorClasses

__all__ = [
    "NOT_SENT",
    "UNKNOWN_OUTCOME",
    "Accepted",
    "Answer",
    "Ending",
    "NotSent",
    "Refused",
    "Unknown",
    "ending",
    "next_attempt_at",
    "read_answer",
    "same_attempt_after",
]

NOT_SENT = "not_sent"
"""The code of an attempt that never reached WhatsApp."""
UNKNOWN_OUTCOME = "unknown_outcome"
"""The code of an attempt whose outcome was never learned."""

_SERVER_ERRORS = 500
_OK = range(200, 300)
# Seconds until the same attempt is made again.
_TEMPORARY_SECONDS = (1.0, 4.0, 16.0)
_PAIR_SECONDS = (6.0, 16.0, 64.0)
_FIRST_PAUSE = timedelta(minutes=15)
_SPREAD = 0.2
_DEFERRED = (timedelta(hours=24), timedelta(hours=48))


@dataclass(frozen=True, slots=True)
class Accepted:
    """WhatsApp has the message; a webhook will tell whether it arrives."""

    message_id: str
    user_id: str | None = None
    """The person's business-scoped id; it works even when the phone number is hidden."""


@dataclass(frozen=True, slots=True)
class Refused:
    """WhatsApp does not have the message, and says why."""

    code: int
    error_class: ErrorClass
    counts: bool
    """Whether it is one of the customer's attempts."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing left this machine."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """WhatsApp may or may not have the message: no machine sends it again."""

    reason: str


Answer = Accepted | Refused | NotSent | Unknown


def read_answer(status: int, body: Any, classes: ErrorClasses) -> Answer:
    """Return what an answer proves.

    Args:
        status: HTTP status.
        body: The JSON of the answer; None: it is not JSON.
        classes: What the codes mean.

    """
    if status in _OK:
        return _accepted(body) or Unknown(f"status {status} without a message id")
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    if not isinstance(code, int) or isinstance(code, bool):
        return Unknown(f"status {status} without an error code")
    # The code decides, not the status. But an unknown code with a server error's status proves
    # nothing.
    if code in UNSETTLED_CODES or (code not in classes.by_code and status >= _SERVER_ERRORS):
        return Unknown(f"status {status}, code {code}")
    meaning = classes.of(code)
    return Refused(code, meaning.error_class, meaning.counts_as_attempt)


def _accepted(body: Any) -> Accepted | None:
    messages = body.get("messages") if isinstance(body, dict) else None
    first = messages[0] if isinstance(messages, list) and messages else None
    message_id = first.get("id") if isinstance(first, dict) else None
    if not isinstance(message_id, str) or not message_id:
        return None
    contacts = body.get("contacts")
    contact = contacts[0] if isinstance(contacts, list) and contacts else None
    user_id = contact.get("user_id") if isinstance(contact, dict) else None
    return Accepted(message_id, user_id if isinstance(user_id, str) else None)


def same_attempt_after(answer: Answer, tries: int) -> float | None:
    """Return after how many seconds to post the same attempt again; None: do not.

    Args:
        answer: The last answer.
        tries: How often the attempt was posted.

    """
    match answer:
        case NotSent() | Refused(error_class=ErrorClass.TEMPORARY):
            seconds = _TEMPORARY_SECONDS
        case Refused(error_class=ErrorClass.PAIR):
            seconds = _PAIR_SECONDS
        case _:
            return None
    return seconds[tries - 1] if tries <= len(seconds) else None


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ends, when WhatsApp does not have the message."""

    code: str
    counts: bool
    is_recoverable: bool
    is_over: bool
    """True: the document becomes FAILED. False: it stays PENDING until the obstacle is gone."""
    next_attempt_at: datetime | None = None


def ending(
    answer: Refused | NotSent,
    *,
    now: datetime,
    attempts: int,
    deferrals: int,
    rng: random.Random,
) -> Ending:
    """Return how an attempt ends when it is not posted again.

    Args:
        answer: The last answer.
        now: The instant.
        attempts: The customer's attempts that counted before this one.
        deferrals: How often WhatsApp has put the customer off in this cycle.
        rng: For the jitter.

    """
    if isinstance(answer, NotSent):
        return Ending(NOT_SENT, counts=False, is_recoverable=True, is_over=False)
    code, counts = str(answer.code), answer.counts
    match answer.error_class:
        case ErrorClass.TEMPORARY | ErrorClass.PAIR:
            again = next_attempt_at(now, attempts + 1, rng)
            return Ending(code, counts, is_recoverable=True, is_over=True, next_attempt_at=again)
        case ErrorClass.DEFERRED:
            again = now + _DEFERRED[min(deferrals, 1)]
            return Ending(code, counts, is_recoverable=True, is_over=True, next_attempt_at=again)
        case ErrorClass.OPTED_OUT | ErrorClass.UNREACHABLE | ErrorClass.CONTENT | ErrorClass.SENDER:
            return Ending(code, counts, is_recoverable=False, is_over=True)
        case _:
            return Ending(code, counts, is_recoverable=True, is_over=False)


def next_attempt_at(now: datetime, attempts: int, rng: random.Random) -> datetime:
    """Return when the next attempt may be made, after that many have failed.

    15 minutes, one hour, four hours; up to a fifth more or less, so that messages that failed
    together are not all tried again at the same time.
    """
    pause = _FIRST_PAUSE * 4.0 ** min(attempts - 1, 6)
    return now + pause * rng.uniform(1 - _SPREAD, 1 + _SPREAD)
