"""What a receipt changes in ``sends/{attemptId}`` and in the target. Pure.

Receipts come late, twice and in any order. Each function takes a document's fields and returns
the new fields, so receipts can be applied one after another; every order gives the same result.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from loader.messages import Status
from whatsapp.attempts import deferrals, error_fields, replaced
from whatsapp.error_classes import ErrorClass
from whatsapp.outcomes import NOT_SENT, Ending, Refused, ending
from whatsapp.statuses import (
    DELIVERED,
    FAILED,
    READ,
    SENDING,
    SENT,
    is_arrived,
    is_forward,
    newest_arrived,
)
from whatsapp.webhook.items import ToldStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whatsapp.error_classes import ErrorClasses
    from whatsapp.targets import TargetState
    from whatsapp.webhook.items import Receipt

__all__ = ["ReceiptRules", "changes", "earliest", "told_send", "told_target"]

_STATUSES = {
    ToldStatus.SENT: SENT,
    ToldStatus.DELIVERED: DELIVERED,
    ToldStatus.READ: READ,
    ToldStatus.FAILED: FAILED,
}
_NO_CODE = "no_code"
"""The code for a failed status without a code."""


@dataclass(frozen=True)
class ReceiptRules:
    """What the codes of failed statuses mean."""

    classes: ErrorClasses

    def refused(self, receipt: Receipt) -> Refused | None:
        """Return a failed status as if it were the POST's answer; None: it has no code."""
        if receipt.code is None:
            return None
        meaning = self.classes.of(receipt.code)
        return Refused(receipt.code, meaning.error_class, meaning.counts_as_attempt)

    def ending(
        self, receipt: Receipt, attempt_id: str, *, attempts: int = 0, deferred: int = 0
    ) -> Ending:
        """Return how a failed status ends an attempt, as if it were the POST's answer.

        The time comes from the status, and the random seed from the attempt's id. So the result is
        the same however late and however often the status comes.
        """
        refused = self.refused(receipt)
        if refused is None:
            return Ending(_NO_CODE, counts=False, is_recoverable=False, is_over=True)
        return ending(
            refused,
            now=receipt.at,
            attempts=attempts,
            deferrals=deferred,
            rng=random.Random(attempt_id),  # noqa: S311 - jitter
        )

    def counted(self, entry: Mapping[str, Any]) -> int:
        """Return whether an entry of attemptLog is one of the customer's attempts, as 0 or 1."""
        status = entry.get("status")
        if status == SENDING:
            return 0
        if status != FAILED:
            return 1
        error = entry.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        if code in {NOT_SENT, _NO_CODE}:
            return 0
        if isinstance(code, str) and code.isdecimal():
            return int(self.classes.of(int(code)).counts_as_attempt)
        return 1

    @property
    def deferred_codes(self) -> frozenset[str]:
        """Return the codes with which WhatsApp puts a person off."""
        return frozenset(
            str(code)
            for code, meaning in self.classes.by_code.items()
            if meaning.error_class is ErrorClass.DEFERRED
        )


def told_send(
    send: Mapping[str, Any], attempt_id: str, receipt: Receipt, rules: ReceiptRules
) -> dict[str, Any]:
    """Return the fields of ``sends/{attemptId}`` after a receipt."""
    said = dict(send)
    status = _STATUSES[receipt.status]
    if is_forward(send.get("status"), status):
        said["status"] = status
        said["error"] = (
            error_fields(rules.ending(receipt, attempt_id)) if status == FAILED else None
        )
    said["messageId"] = send.get("messageId") or receipt.message_id
    said["userId"] = send.get("userId") or receipt.person.user_id
    said |= _instants(send, receipt)
    if receipt.pricing:
        known = send.get("pricing")
        said["pricing"] = max(
            dict(receipt.pricing), known if isinstance(known, dict) else {}, key=_dearness
        )
    return said


def told_target(
    state: TargetState,
    fields: Mapping[str, Any],
    attempt_id: str,
    receipt: Receipt,
    rules: ReceiptRules,
    *,
    now: datetime,
) -> dict[str, Any]:
    """Return the fields of a target after a receipt of one of its attempts.

    Args:
        state: The target.
        fields: The same target, as it is stored.
        attempt_id: The attempt; it may be an earlier one.
        receipt: The receipt.
        rules: What the codes mean.
        now: The instant, to see whether a claim still lasts.

    """
    entry = state.entry(attempt_id)
    if entry is None:
        return dict(fields)
    status = _STATUSES[receipt.status]
    is_news = is_forward(entry.get("status"), status)
    told = {**entry, "messageId": entry.get("messageId") or receipt.message_id}
    before = state.attempts - rules.counted(entry)
    ended: Ending | None = None
    if is_news:
        told["status"] = status
        told.pop("error", None)
        if status == FAILED:
            deferred = deferrals(state, rules.deferred_codes)
            ended = rules.ending(receipt, attempt_id, attempts=before, deferred=deferred)
            told["error"] = error_fields(ended)
    log = replaced(state.log, entry, told)
    said = {**fields, "attemptLog": log, "attempts": max(0, before + rules.counted(told))}
    arrived = newest_arrived(log)
    if state.log[-1] is entry and is_news:
        said |= _news(told, ended, arrived)
    elif arrived is told and not _is_under_way(state, now):
        # The person has the message: no further attempt is made.
        said |= _about(told)
    if arrived is told and said.get("messageId") == told["messageId"]:
        # Receipts of another attempt's message are in that attempt's own document.
        known = fields if fields.get("messageId") == told["messageId"] else {}
        said |= {"deliveredAt": known.get("deliveredAt"), "readAt": known.get("readAt")}
        said |= _instants(known, receipt)
    return said


def _about(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the target's own fields when an attempt's message is on its way or has arrived."""
    status = Status.DELIVERED if is_arrived(entry) else Status.SENT
    return {
        "status": status.value,
        "messageId": entry.get("messageId"),
        "lastError": None,
        "nextAttemptAt": None,
        "claimedUntil": None,
    }


def _news(
    entry: Mapping[str, Any], ended: Ending | None, arrived: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the target's own fields after news of its newest attempt."""
    if arrived is not None:
        return _about(arrived)
    if ended is None:
        return _about(entry)
    return {
        "status": Status.FAILED.value if ended.is_over else Status.PENDING.value,
        "messageId": entry["messageId"],
        "lastError": error_fields(ended),
        "nextAttemptAt": ended.next_attempt_at,
        "claimedUntil": None,
    }


def _is_under_way(state: TargetState, now: datetime) -> bool:
    is_claimed = state.claimed_until is not None and state.claimed_until > now
    return is_claimed or state.log[-1].get("status") == SENDING


def _instants(fields: Mapping[str, Any], receipt: Receipt) -> dict[str, Any]:
    """Return deliveredAt and readAt; the earliest known instant of each."""
    match receipt.status:
        case ToldStatus.DELIVERED:
            names = ["deliveredAt"]
        case ToldStatus.READ:
            # WhatsApp sends no "delivered" when a message is read at once.
            names = ["deliveredAt", "readAt"]
        case _:
            names = []
    return {name: earliest(fields.get(name), receipt.at) for name in names}


def earliest(known: object, told: datetime) -> datetime:
    """Return the earlier of the stored and the new instant."""
    return min(known, told) if isinstance(known, datetime) else told


def _dearness(pricing: Mapping[str, Any]) -> tuple[bool, str]:
    """Return the order of two prices of one message: billable wins, then the text decides."""
    return bool(pricing.get("billable")), str(sorted(pricing.items()))


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that differ; the value None means: remove the field."""
    return {
        name: after.get(name)
        for name in (*before, *(name for name in after if name not in before))
        if before.get(name) != after.get(name)
    }
