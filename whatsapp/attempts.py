"""One attempt as it is stored: the fields of the claim and of the result. Pure.

`loader.messages` turns the log's entries into rows of message_history, and `loader.sync` sees in
them whether an attempt is open. No entry is ever removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from loader.firestore.wire import SERVER_TIME
from loader.messages import Status
from whatsapp.outcomes import UNKNOWN_OUTCOME, Accepted, Ending, Unknown
from whatsapp.statuses import SENDING, UNKNOWN, is_forward, newest_arrived

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from whatsapp.targets import TargetState

__all__ = [
    "CLAIM",
    "Attempt",
    "claim_fields",
    "deferrals",
    "error_fields",
    "replaced",
    "result_fields",
    "send_fields",
    "send_result",
    "unknown_ending",
]

CLAIM = timedelta(minutes=5)
"""How long other programs must not touch a document. The open attempt may last longer."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to send one target's message."""

    attempt_id: str
    """Random; sent to WhatsApp, which returns it in every status."""
    number: int
    at: datetime
    phone_key: str
    portfolio_id: str
    category: str = ""
    """The template's category, as WhatsApp last listed it; decides the price."""

    def callback_data(self, cnpj: str) -> str:
        """Return the text that WhatsApp repeats in every status; no personal data."""
        return f"v1.{cnpj}.{self.attempt_id}"


def claim_fields(target: TargetState, attempt: Attempt) -> dict[str, Any]:
    """Return the fields of the target with which an attempt begins."""
    entry = {
        "attempt": attempt.number,
        "attemptId": attempt.attempt_id,
        "at": attempt.at,
        "status": SENDING,
    }
    return {
        "claimedUntil": attempt.at + CLAIM,
        "attemptLog": [*target.log, entry],
        # A customer's answer to the previous attempt stays in that attempt's ``sends`` document.
        "repliedAt": None,
        "updatedAt": SERVER_TIME,
    }


def send_fields(target: TargetState, attempt: Attempt) -> dict[str, Any]:
    """Return the document ``users/{cnpj}/sends/{attemptId}`` with which an attempt begins."""
    return {
        "campaignType": target.campaign_type,
        "customerId": target.customer_id,
        "cycleKey": target.cycle_key,
        "attempt": attempt.number,
        "phoneKey": attempt.phone_key,
        "portfolioId": attempt.portfolio_id,
        "category": attempt.category,
        "at": attempt.at,
        "status": SENDING,
        "updatedAt": SERVER_TIME,
    }


def result_fields(
    target: TargetState, attempt: Attempt, result: Accepted | Ending
) -> dict[str, Any] | None:
    """Return the fields of the target that end an attempt; None: there is nothing to write.

    A field with the value None is to be removed.

    Args:
        target: As it is now: a webhook may have been faster, or another cycle may have begun.
        attempt: The attempt.
        result: What became of it.

    """
    entry = target.entry(attempt.attempt_id)
    if entry is None:
        return None
    is_newest = target.log[-1] is entry
    if entry.get("status") != SENDING:
        # A webhook's status came before the answer was recorded, and is newer than the answer.
        is_missing = isinstance(result, Accepted) and not entry.get("messageId")
        if not is_missing:
            return None
        known = {**entry, "messageId": result.message_id}  # type: ignore[union-attr]
        return {"attemptLog": replaced(target.log, entry, known), "updatedAt": SERVER_TIME}
    arrived = newest_arrived(target.log)
    if isinstance(result, Accepted):
        ended = {**entry, "status": Status.SENT.value, "messageId": result.message_id}
        fields: dict[str, Any] = {
            "status": Status.SENT.value,
            "attempts": target.attempts + 1,
            "messageId": result.message_id,
            "lastError": None,
            "nextAttemptAt": None,
        }
    else:
        error = error_fields(result)
        ended = {**entry, "status": Status.FAILED.value, "error": error}
        fields = {
            "status": Status.FAILED.value if result.is_over else Status.PENDING.value,
            "attempts": target.attempts + result.counts,
            "lastError": error,
            "nextAttemptAt": result.next_attempt_at,
        }
    if arrived is not None:
        # An earlier attempt reached the person after all, while this one was under way.
        fields |= {
            "status": Status.DELIVERED.value,
            "messageId": arrived.get("messageId"),
            "lastError": None,
            "nextAttemptAt": None,
        }
    log = replaced(target.log, entry, ended)
    if not is_newest:
        return {"attemptLog": log, "updatedAt": SERVER_TIME}
    return {**fields, "attemptLog": log, "updatedAt": SERVER_TIME, "claimedUntil": None}


def send_result(
    result: Accepted | Ending | Unknown, send: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the fields of ``sends/{attemptId}`` that end an attempt; None: nothing to write.

    Args:
        result: What became of it.
        send: The document as it is now: a webhook may have been faster.

    """
    match result:
        case Accepted():
            said: dict[str, Any] = {"status": Status.SENT.value}
        case Ending():
            said = {"status": Status.FAILED.value, "error": error_fields(result)}
        case Unknown():
            said = {"status": UNKNOWN, "reason": result.reason}
    fields = said if is_forward(send.get("status"), said["status"]) else {}
    if isinstance(result, Accepted):
        ids = {"messageId": result.message_id, "userId": result.user_id}
        fields |= {key: value for key, value in ids.items() if value and not send.get(key)}
    return {**fields, "updatedAt": SERVER_TIME} if fields else None


def error_fields(result: Ending) -> dict[str, Any]:
    """Return an error as it is stored; its text holds no personal data."""
    return {
        "code": result.code,
        "message": _MESSAGES.get(result.code, f"WhatsApp refused it with {result.code}"),
        "recoverable": result.is_recoverable,
    }


_MESSAGES = {
    "not_sent": "the connection to WhatsApp could not be made",
    UNKNOWN_OUTCOME: "its outcome was never learned",
}


def unknown_ending() -> Ending:
    """Return the ending of an attempt whose outcome will never be known: it is too old."""
    return Ending(UNKNOWN_OUTCOME, counts=True, is_recoverable=False, is_over=True)


def deferrals(target: TargetState, codes: frozenset[str]) -> int:
    """Return how often attempts of this cycle ended with one of the codes."""
    errors = (entry.get("error") for entry in target.log)
    return sum(isinstance(error, dict) and error.get("code") in codes for error in errors)


def replaced(
    log: tuple[dict[str, Any], ...], entry: Mapping[str, Any], by: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return a log in which ``by`` replaces ``entry``."""
    return [by if other is entry else other for other in log]
