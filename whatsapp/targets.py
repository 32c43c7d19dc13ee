"""A target document as the sender reads it, and whether it may be sent. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from loader.messages import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whatsapp.accounts import Account

__all__ = [
    "MARGIN",
    "MAX_LOG_ENTRIES",
    "SendState",
    "TargetState",
    "Template",
    "Waiting",
    "WhyNot",
    "read_target",
    "why_not",
]

MARGIN = timedelta(seconds=30)
"""No attempt begins when the target expires within this time."""

MAX_LOG_ENTRIES = 20
"""The limit for all attempts, also for those that do not count against the customer."""


class WhyNot(StrEnum):
    """Why a target is not sent now.

    The last three may end while it waits; the others only when somebody acts, or with its day.
    """

    GONE = "gone"
    NOT_PENDING = "not_pending"
    CLAIMED = "claimed"
    OPEN_ATTEMPT = "open_attempt"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    UNFIT = "unfit"
    SUPPRESSED = "suppressed"
    NO_ACCOUNT = "no_account"
    DISABLED = "disabled"
    NO_TEST_PHONE = "no_test_phone"
    TAKEN = "taken"
    """Somebody else wrote the document first."""
    PAUSED = "paused"
    TEMPLATE = "template"
    """The template cannot be sent: missing at WhatsApp, not approved, or different."""
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A waiting document, as the poll reads it."""

    name: str
    """The document's full name."""
    cnpj: str
    campaign_type: str
    customer_id: str
    expires_at: datetime | None
    created_at: datetime | None
    template: tuple[str, str] | None
    """Name and language."""
    open_since: datetime | None
    """When its open attempt began; None: it has none."""


@dataclass(frozen=True, slots=True)
class Template:
    """The template of a message, with the values of its variables."""

    name: str
    language: str
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TargetState:
    """A document as it was read, with everything that an attempt needs."""

    name: str
    cnpj: str
    campaign_type: str
    customer_id: str
    update_time: datetime
    """When Firestore last wrote it; the precondition of our writes."""
    status: str
    phone: str | None
    template: Template | None
    """None: the payload has no readable template."""
    cycle_key: str
    expires_at: datetime | None
    claimed_until: datetime | None
    attempts: int
    log: tuple[dict[str, Any], ...]

    @property
    def next_number(self) -> int:
        """Return the number of the next attempt; attempts that do not count are numbered, too."""
        numbers = [entry.get("attempt") for entry in self.log]
        known = [number for number in numbers if isinstance(number, int)]
        return max([self.attempts, len(self.log), *known]) + 1

    @property
    def has_open_attempt(self) -> bool:
        """Return whether a message may be on its way, as `loader.firestore.targets` reads it."""
        return is_open(self.log, self.attempts)

    def entry(self, attempt_id: str) -> dict[str, Any] | None:
        """Return an attempt's entry of the log."""
        return next((entry for entry in self.log if entry.get("attemptId") == attempt_id), None)


@dataclass(frozen=True, slots=True)
class SendState:
    """``users/{cnpj}/sends/{attemptId}`` as it was read."""

    update_time: datetime
    fields: Mapping[str, Any]


def is_open(log: tuple[dict[str, Any], ...], attempts: int) -> bool:
    """Return whether the newest attempt has no result: not counted, and not FAILED."""
    return len(log) > attempts and log[-1].get("status") != Status.FAILED


def read_target(name: str, update_time: datetime, fields: Mapping[str, Any]) -> TargetState:
    """Return a document's state. Never raises, whatever other programs wrote into the fields."""
    cnpj, _, campaign_type, _, customer_id = name.split("/documents/", 1)[-1].split("/")[1:]
    attempts = fields.get("attempts")
    log = fields.get("attemptLog")
    phone = fields.get("phone")
    return TargetState(
        name=name,
        cnpj=cnpj,
        campaign_type=campaign_type,
        customer_id=customer_id,
        update_time=update_time,
        status=str(fields.get("status") or ""),
        phone=phone if isinstance(phone, str) and phone.startswith("+") else None,
        template=read_template(fields.get("data")),
        cycle_key=str(fields.get("cycleKey") or ""),
        expires_at=_instant(fields.get("expiresAt")),
        claimed_until=_instant(fields.get("claimedUntil")),
        attempts=attempts if isinstance(attempts, int) and attempts > 0 else 0,
        log=tuple(entry for entry in log if isinstance(entry, dict))
        if isinstance(log, list)
        else (),
    )


def read_template(data: Any) -> Template | None:
    """Return the template of a payload, None when it cannot be read."""
    raw = data.get("template") if isinstance(data, dict) else None
    if not isinstance(raw, dict):
        return None
    name, language, parameters = raw.get("name"), raw.get("language"), raw.get("parameters", [])
    if not (isinstance(name, str) and name and isinstance(language, str) and language):
        return None
    if not isinstance(parameters, list):
        return None
    pairs = []
    for parameter in parameters:
        if not isinstance(parameter, dict):
            return None
        key, text = parameter.get("parameter_name"), parameter.get("text")
        if not (isinstance(key, str) and key and text is not None and str(text)):
            return None
        pairs.append((key, str(text)))
    return Template(name, language, tuple(pairs))


def why_not(target: TargetState, account: Account | None, *, now: datetime) -> WhyNot | None:
    """Return why a target may not be sent, as far as the document tells; None: it may.

    Pauses, budgets and suppressions are not in the document; they are checked elsewhere.
    """
    if target.status != Status.PENDING:
        return WhyNot.NOT_PENDING
    if target.has_open_attempt:
        return WhyNot.OPEN_ATTEMPT
    if target.claimed_until is not None and target.claimed_until > now:
        return WhyNot.CLAIMED
    if is_late(target, now):
        return WhyNot.EXPIRED
    if account is None:
        return WhyNot.NO_ACCOUNT
    if not account.is_enabled:
        return WhyNot.DISABLED
    if target.attempts >= account.max_attempts or len(target.log) >= MAX_LOG_ENTRIES:
        return WhyNot.EXHAUSTED
    if target.phone is None or target.template is None or not target.cycle_key:
        return WhyNot.UNFIT
    if account.test_phones is not None and target.phone not in account.test_phones:
        return WhyNot.NO_TEST_PHONE
    return None


def is_late(target: TargetState, now: datetime) -> bool:
    """Return whether it is too late to begin; a document without an expiry is never sent."""
    return target.expires_at is None or target.expires_at <= now + MARGIN


def _instant(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None
