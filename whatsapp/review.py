"""For people to review: failed messages, and attempts with an unknown outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from loader.base.cnpj import parse_cnpj
from loader.base.errors import ConfigurationError
from loader.bigquery.audit import AuditAction, AuditEntry
from loader.messages import Status
from whatsapp.attempt import Unrecorded
from whatsapp.attempts import Attempt
from whatsapp.error_classes import ErrorClass
from whatsapp.outcomes import NOT_SENT, UNKNOWN_OUTCOME, Accepted, Ending
from whatsapp.statuses import SENDING

if TYPE_CHECKING:
    from loader.bigquery.audit import AuditLog
    from whatsapp.attempt import Attempter
    from whatsapp.error_classes import ErrorClasses
    from whatsapp.store import Store
    from whatsapp.targets import TargetState

__all__ = ["ResolvedAs", "ReviewFinding", "findings", "resolve_attempt"]

_TODO = {
    ErrorClass.TEMPORARY: "nothing: it is tried again",
    ErrorClass.PAIR: "nothing: it is tried again; more than one campaign wrote to this phone",
    ErrorClass.DEFERRED: "nothing: WhatsApp spares this person for a day or two",
    ErrorClass.OPTED_OUT: "nothing: the person stopped these messages",
    ErrorClass.UNREACHABLE: "look at the phone in the laundromat's own records",
    ErrorClass.CONTENT: "look at the text and its values: docs/sending.md, content",
    ErrorClass.TEMPLATE: "run `vmhub templates check`",
    ErrorClass.ROUTE: "run `vmhub templates check`: the template's category has changed",
    ErrorClass.LAUNDROMAT: "look at the number in WhatsApp Manager",
    ErrorClass.TOKEN: "put a new access token into the secret",
    ErrorClass.PORTFOLIO: "look at quality and limit in WhatsApp Manager",
    ErrorClass.SENDER: "a fault of ours: report it with the code",
}
_ASK = "ask the customer or look in WhatsApp Manager, then run `vmhub send resolve`"
_RESOLVED = "resolved_not_sent"


class ResolvedAs(StrEnum):
    """A person's verdict on an attempt with an unknown outcome."""

    SENT = "sent"
    NOT_SENT = "not-sent"


@dataclass(frozen=True, slots=True)
class ReviewFinding:
    """One target that somebody may want to look at."""

    cnpj: str
    campaign_type: str
    customer_id: str
    cycle_key: str
    state: str
    """FAILED, or UNKNOWN."""
    attempts: int
    code: str | None
    error_class: str | None
    is_final: bool
    next_attempt_at: datetime | None
    what_to_do: str


async def findings(
    store: Store, classes: ErrorClasses, *, now: datetime, cnpj: str | None = None
) -> list[ReviewFinding]:
    """Return all targets whose message failed or whose outcome is unknown."""
    found = []
    for target, fields in await store.failed_or_open(cnpj):
        error = fields.get("lastError")
        error = error if isinstance(error, dict) else {}
        code = error.get("code")
        is_unknown = target.has_open_attempt
        if is_unknown and target.claimed_until is not None and target.claimed_until > now:
            continue
        kind = _class_of(code, classes)
        again = fields.get("nextAttemptAt")
        is_final = error.get("recoverable") is False
        found.append(
            ReviewFinding(
                target.cnpj,
                target.campaign_type,
                target.customer_id,
                target.cycle_key,
                "UNKNOWN" if is_unknown else Status.FAILED.value,
                target.attempts,
                None if is_unknown else code,
                None if is_unknown or kind is None else kind.value,
                is_final and not is_unknown,
                again if isinstance(again, datetime) and not is_unknown else None,
                _ASK if is_unknown else _what_to_do(kind, code),
            )
        )
    return found


async def resolve_attempt(
    attempter: Attempter,
    target: TargetState,
    verdict: ResolvedAs,
    *,
    now: datetime,
    audit: AuditLog,
    subject: str,
) -> str:
    """Record a person's verdict on a target's open attempt; return the attempt's id.

    Args:
        attempter: Writes the document.
        target: The target, as just read.
        verdict: What became of the message.
        now: The instant of writing.
        audit: Takes the verdict before it is written.
        subject: The message in the audit log; names the customer by pseudonym.

    Raises:
        ConfigurationError: The target has no attempt with an unknown outcome.
        ServiceError: Firestore does not accept it.

    """
    place = f"users/{target.cnpj}/campaigns/{target.campaign_type}/targets/{target.customer_id}"
    entry = target.log[-1] if target.has_open_attempt else {}
    attempt_id, began = entry.get("attemptId"), entry.get("at")
    if entry.get("status") != SENDING or not isinstance(attempt_id, str):
        message = f"{place} has no attempt of unknown outcome"
        raise ConfigurationError(message, hint="`vmhub send review` lists those that have one")
    if target.claimed_until is not None and target.claimed_until > now:
        message = f"{place} is being sent at this moment"
        raise ConfigurationError(message, hint="wait five minutes, then look again")
    assert isinstance(began, datetime)
    attempt = Attempt(attempt_id, int(entry.get("attempt") or 1), began, "", "")
    result = (
        Accepted(f"resolved.{attempt_id}")
        if verdict is ResolvedAs.SENT
        else Ending(_RESOLVED, counts=True, is_recoverable=True, is_over=True)
    )
    before, after = {"outcome": "unknown"}, {"outcome": verdict.value}
    audit.record([AuditEntry(AuditAction.CHANGE, subject, parse_cnpj(target.cnpj), before, after)])
    await attempter.record(Unrecorded(target, attempt, result))
    return attempt_id


def _class_of(code: object, classes: ErrorClasses) -> ErrorClass | None:
    if not isinstance(code, str) or not code.isdecimal():
        return None
    return classes.of(int(code)).error_class


def _what_to_do(kind: ErrorClass | None, code: object) -> str:
    if kind is not None:
        return _TODO[kind]
    if code == UNKNOWN_OUTCOME:
        return "nothing can be done: nobody heard of it for eight days"
    if code in {NOT_SENT, _RESOLVED}:
        return "nothing: it is tried again"
    return "look at the document: its error has no code of WhatsApp"
