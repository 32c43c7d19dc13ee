"""From target documents to rows of message_history, as pure functions.

There is one row per attempt, with the key (campaign_type, user_id, cycle_key, attempt). If the
sender keeps an ``attemptLog``, every entry gives a row. The document's own status and last error
belong to the newest attempt; its receipts to the attempt with the document's ``messageId``, and to
the newest if none has it. If the sender sets only ``status`` and ``attempts``, the document gives
one row, at the time of its last write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from loader.base.fields import Fields
from loader.sync.model import Status

__all__ = [
    "MAX_CYCLE_KEY",
    "MAX_MESSAGE_ID",
    "OVERLAP",
    "READ",
    "HistoryRow",
    "Oddity",
    "Status",
    "TrackedDocument",
    "Watermark",
    "history_rows",
    "is_recoverable",
    "possible_instant",
    "status_of",
]

READ = "READ"
"""The status of a message whose reading was confirmed; a document says so by ``readAt``."""
_UNKNOWN = "UNKNOWN"
_STATUS = re.compile(r"[A-Z_]{1,32}")
# Limits of texts that become columns of message_history; WhatsApp's ids have under 100 characters.
MAX_CYCLE_KEY = 100
MAX_MESSAGE_ID = 256
_MAX_PHONE = 32
OVERLAP = timedelta(minutes=10)
"""From how long before its watermark tracking reads again: clocks differ."""
# A sender's clock can be ahead of Firestore's by at most this.
_CLOCK_MARGIN = timedelta(days=1)
# Any other status in a log, such as SENDING, means that the attempt's end is not known.
_KNOWN = {*Status, READ}


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a laundromat's documents are tracked in its message_history."""

    until: datetime | None = None
    """The instant up to which documents with a correct updatedAt are tracked, but for `OVERLAP`."""
    full_at: datetime | None = None
    """Firestore's time up to which all documents are tracked."""

    def believed(self, as_of: datetime) -> Watermark:
        """Return it without instants later than a run's: no run can have written them.

        With such an instant, a message sent before it would count as recorded although it is not,
        and its customer would be messaged again.
        """
        is_ahead = self.until is not None and self.until > as_of + _CLOCK_MARGIN
        return replace(self, until=None) if is_ahead else self

    def covers(
        self, update_time: datetime, updated_at: datetime | None, *, keeps_log: bool
    ) -> bool:
        """Return whether message_history has everything a document says about sent messages.

        Args:
            update_time: Firestore's time of the document's last write.
            updated_at: The document's own updatedAt.
            keeps_log: Whether its sender keeps an attemptLog; one that does not may not set
                updatedAt either.

        """
        if self.full_at is not None and update_time <= self.full_at:
            return True
        if not keeps_log or self.until is None or updated_at is None:
            return False
        # What is inside the overlap may have been written after the documents were read: by a
        # clock that is behind that of the run.
        return updated_at <= self.until - OVERLAP


@dataclass(frozen=True, slots=True)
class TrackedDocument:
    """The part of a target document that tracking reads."""

    cnpj: str
    campaign_type: str
    customer_id: str
    update_time: datetime
    """Firestore's time of the last write."""
    fields: dict[str, Any]


@dataclass(frozen=True)
class Oddity:
    """A document that cannot be read as it should."""

    campaign_type: str
    """A target's campaign; for other documents ``sends`` or ``suppressions``."""
    customer_id: str
    """A target's customer; for ``sends`` the attempt's id, for ``suppressions`` empty."""
    reason: str


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One attempt; the columns of message_history."""

    user_id: str
    campaign_type: str
    cycle_key: str
    attempt: int
    sent_at: datetime
    status: str
    message_content: str | None
    phone: str | None
    message_id: str | None
    error_code: str | None
    recoverable: bool | None
    delivered_at: datetime | None
    read_at: datetime | None
    replied_at: datetime | None
    updated_at: datetime
    template_variant: str | None
    voucher_code: str | None
    whatsapp_user_id: str | None = None
    """WhatsApp's id of the person for this business; only receipts have it."""
    price_category: str | None = None
    """The category that WhatsApp charges, in capitals, such as MARKETING."""
    is_billable: bool | None = None
    """Whether WhatsApp charges the message; None: unknown."""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Return the row's key in message_history."""
        return (self.campaign_type, self.user_id, self.cycle_key, self.attempt)


def history_rows(document: TrackedDocument, as_of: datetime) -> tuple[list[HistoryRow], list[str]]:
    """Return a row for each attempt to send a document's message, and what could not be read.

    Args:
        document: The target document.
        as_of: The run's instant.

    Returns:
        The rows, oldest first, empty if nothing was sent; and the problems, one phrase each,
        without values of the document. Every attempt that can be recognized has a row, whatever
        else is wrong with the document.

    """
    fields = Fields(document.fields)
    attempts = _attempts(document, fields, as_of)
    if not attempts:
        return [], fields.problems
    cycle_key = fields.text("cycleKey", most=MAX_CYCLE_KEY)
    if not cycle_key:
        return [], ["no cycleKey: not a document that vmhub sync created", *fields.problems]
    data = fields.map("data")
    message, phone = data.text("message"), fields.text("phone", most=_MAX_PHONE)
    variant = data.text("template_variant", most=MAX_CYCLE_KEY)
    voucher_code = data.text("voucher_code", most=MAX_CYCLE_KEY)
    updated_at = fields.instant("updatedAt") or document.update_time
    delivered_at, read_at = fields.instant("deliveredAt"), fields.instant("readAt")
    replied_at = fields.instant("repliedAt")
    rows = [
        HistoryRow(
            user_id=document.customer_id,
            campaign_type=document.campaign_type,
            cycle_key=cycle_key,
            attempt=attempt.number,
            sent_at=attempt.at,
            status=attempt.status,
            message_content=message,
            phone=phone,
            message_id=attempt.message_id,
            error_code=attempt.error_code,
            recoverable=attempt.recoverable,
            delivered_at=delivered_at if attempt.is_told_of else None,
            read_at=read_at if attempt.is_told_of else None,
            replied_at=replied_at if attempt.is_last else None,
            updated_at=updated_at,
            template_variant=variant,
            voucher_code=voucher_code,
        )
        for attempt in attempts
    ]
    return rows, list(dict.fromkeys(fields.problems))


@dataclass(frozen=True, slots=True)
class _Attempt:
    number: int
    at: datetime
    status: str
    message_id: str | None
    error_code: str | None
    recoverable: bool | None
    is_last: bool
    is_told_of: bool
    """Whether the document's receipts are about it."""


def _attempts(document: TrackedDocument, fields: Fields, as_of: datetime) -> list[_Attempt]:
    entries = fields.maps("attemptLog")
    own_status = status_of(fields)
    count = fields.count("attempts") or 0
    if not entries:
        if not count and own_status in ("", Status.PENDING):
            return []
        # It failed and was queued again by a sender without a log.
        status = Status.FAILED if own_status == Status.PENDING else own_status
        only = Fields({"status": status})
        number = max(count, 1)
        return [_attempt(document, fields, only, as_of, number, last=number, told_of=number)]
    numbers = _numbers(entries, fields)
    last = max(numbers)
    # A message can arrive after it failed and another attempt was made. Then the receipts are about
    # the attempt with the document's message id.
    message_id = fields.text("messageId", most=MAX_MESSAGE_ID)
    named = {
        entry.text("messageId", most=MAX_MESSAGE_ID): number
        for entry, number in sorted(zip(entries, numbers, strict=True), key=lambda pair: pair[1])
    }
    told_of = named.get(message_id, last) if message_id else last
    return [
        _attempt(document, fields, entry, as_of, number, last=last, told_of=told_of)
        for entry, number in zip(entries, numbers, strict=True)
    ]


def _numbers(entries: list[Fields], fields: Fields) -> list[int]:
    """Return the attempts' numbers, starting at 1: their own, or their positions if invalid."""
    own = [entry.count("attempt") for entry in entries]
    numbers = [place + 1 if number is None else number for place, number in enumerate(own)]
    if 0 in numbers:
        # This sender counts from 0.
        numbers = [number + 1 for number in numbers]
    if len(set(numbers)) < len(numbers):
        fields.problems.append("attemptLog has two entries of one number")
        return list(range(1, len(entries) + 1))
    return numbers


def _attempt(
    document: TrackedDocument,
    fields: Fields,
    entry: Fields,
    as_of: datetime,
    number: int,
    *,
    last: int,
    told_of: int,
) -> _Attempt:
    is_last, is_told_of = number == last, number == told_of
    status = status_of(entry) or Status.SENT
    if status not in _KNOWN:
        # A later attempt was made, so this one had failed.
        status = Status.PENDING if is_last else Status.FAILED
    error = entry.map("error")
    message_id = entry.text("messageId", most=MAX_MESSAGE_ID)
    if is_last:
        error = error if entry.is_there("error") else fields.map("lastError")
    if is_told_of:
        own = status_of(fields)
        # While it is PENDING again, the document says nothing about the last attempt.
        if is_last and own not in ("", Status.PENDING):
            status = own
        message_id = message_id or fields.text("messageId", most=MAX_MESSAGE_ID)
        if fields.instant("readAt"):
            status = READ
        elif status == Status.SENT and fields.instant("deliveredAt"):
            status = Status.DELIVERED
    has_failed = status == Status.FAILED
    return _Attempt(
        number,
        at=_sent_at(document, entry, as_of),
        status=status,
        message_id=message_id,
        error_code=error.code("code") if has_failed else None,
        recoverable=is_recoverable(error) if has_failed else None,
        is_last=is_last,
        is_told_of=is_told_of,
    )


def _sent_at(document: TrackedDocument, entry: Fields, as_of: datetime) -> datetime:
    """Return when an attempt was made; by default the time of the document's last write.

    An attempt with an instant in the future would be invisible to builds until then, and its
    customer would get a second message.
    """
    at = possible_instant(entry, "at", document.update_time, as_of)
    return at or document.update_time


def possible_instant(
    fields: Fields, name: str, update_time: datetime, as_of: datetime
) -> datetime | None:
    """Return an attempt's instant; one in the future is a problem and counts as missing."""
    at = fields.instant(name)
    if at is not None and at > max(update_time, as_of) + _CLOCK_MARGIN:
        fields.problems.append("an attempt's instant is in the future")
        return None
    return at


def is_recoverable(error: Fields) -> bool | None:
    """Return whether an error allows another attempt; an unreadable value does not."""
    flag = error.flag("recoverable")
    return False if flag is None and error.is_there("recoverable") else flag


def status_of(fields: Fields) -> str:
    """Return a status in capitals; ``UNKNOWN``, which counts as sent, when it is not one word."""
    text = fields.text("status")
    if text is None and not fields.is_there("status"):
        return ""
    status = "?" if text is None else text.strip().upper()
    if not status or _STATUS.fullmatch(status):
        return status
    if text is not None:
        fields.problems.append("status is not one word of letters")
    return _UNKNOWN
