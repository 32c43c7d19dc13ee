"""What a target document says of its messages: rows of message_history, as pure functions.

One row per attempt, key (campaign_type, user_id, cycle_key, attempt). A sender that keeps an
``attemptLog`` gives a row for every entry; the document's own status, receipts and last error
belong to the newest. A sender that sets only ``status`` and ``attempts`` gives one row, at the
time of the document's last write.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loader.sync.model import Status

__all__ = ["HistoryRow", "Oddity", "Status", "TrackedDocument", "Watermark", "history_rows"]

_READ = "READ"
# Whatever else a log says of an attempt, such as SENDING, says that its end is not known.
_KNOWN = {*Status, _READ}


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a laundromat's documents are in its message_history."""

    until: datetime | None = None
    """The run's instant up to which documents are whose updatedAt tells of every change."""
    full_at: datetime | None = None
    """Firestore's own time up to which all are."""

    def covers(
        self, update_time: datetime, updated_at: datetime | None, *, keeps_log: bool
    ) -> bool:
        """Return whether all that a document says of messages sent is in message_history.

        Args:
            update_time: Firestore's time of the document's last write.
            updated_at: What the document says of it.
            keeps_log: Whether its sender keeps an attemptLog; one that does not may leave
                updatedAt alone as well.

        """
        if self.full_at is not None and update_time <= self.full_at:
            return True
        if not keeps_log or self.until is None or updated_at is None:
            return False
        return updated_at <= self.until


@dataclass(frozen=True, slots=True)
class TrackedDocument:
    """A target document as tracking reads it."""

    cnpj: str
    campaign_type: str
    customer_id: str
    update_time: datetime
    """The service's own time of the last write."""
    fields: dict[str, Any]


@dataclass(frozen=True)
class Oddity:
    """A document that was sent and gives no row."""

    campaign_type: str
    customer_id: str
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

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Return what makes the row this one in message_history."""
        return (self.campaign_type, self.user_id, self.cycle_key, self.attempt)


def history_rows(document: TrackedDocument) -> list[HistoryRow]:
    """Return a row for each attempt to send a document's message, oldest first; none: not sent.

    Raises:
        ValueError: The document was sent but does not say in which cycle; the text says what is
            missing.

    """
    attempts = _attempts(document)
    if not attempts:
        return []
    fields = document.fields
    cycle_key = fields.get("cycleKey")
    if not isinstance(cycle_key, str) or not cycle_key:
        message = "no cycleKey: not a document that vmhub sync created"
        raise ValueError(message)
    data = fields.get("data")
    data = data if isinstance(data, dict) else {}
    return [
        HistoryRow(
            user_id=document.customer_id,
            campaign_type=document.campaign_type,
            cycle_key=cycle_key,
            attempt=attempt.number,
            sent_at=attempt.at,
            status=attempt.status,
            message_content=_text(data.get("message")),
            phone=_text(fields.get("phone")),
            message_id=attempt.message_id,
            error_code=attempt.error_code,
            recoverable=attempt.recoverable,
            delivered_at=_instant(fields.get("deliveredAt")) if attempt.is_last else None,
            read_at=_instant(fields.get("readAt")) if attempt.is_last else None,
            replied_at=_instant(fields.get("repliedAt")) if attempt.is_last else None,
            updated_at=_instant(fields.get("updatedAt")) or document.update_time,
            template_variant=_text(data.get("template_variant")),
            voucher_code=_text(data.get("voucher_code")),
        )
        for attempt in attempts
    ]


@dataclass(frozen=True, slots=True)
class _Attempt:
    number: int
    at: datetime
    status: str
    message_id: str | None
    error_code: str | None
    recoverable: bool | None
    is_last: bool


def _attempts(document: TrackedDocument) -> list[_Attempt]:
    fields = document.fields
    log = fields.get("attemptLog")
    entries = [entry for entry in log if isinstance(entry, dict)] if isinstance(log, list) else []
    count = _count(fields.get("attempts"))
    if not entries:
        if not count and _status(fields.get("status")) in ("", Status.PENDING):
            return []
        entries = [{"attempt": max(count, 1), "status": fields.get("status")}]
        if entries[0]["status"] == Status.PENDING:
            # It failed and was queued again by somebody who keeps no log.
            entries[0]["status"] = Status.FAILED
    last_number = max(_number(entry, position) for position, entry in enumerate(entries))
    return [
        _attempt(document, entry, number, is_last=number == last_number)
        for position, entry in enumerate(entries)
        for number in (_number(entry, position),)
    ]


def _attempt(
    document: TrackedDocument, entry: dict[str, Any], number: int, *, is_last: bool
) -> _Attempt:
    fields = document.fields
    status = _status(entry.get("status")) or Status.SENT
    if status not in _KNOWN:
        # Another attempt was made, so this one had failed.
        status = Status.PENDING if is_last else Status.FAILED
    error = entry.get("error")
    message_id = _text(entry.get("messageId"))
    if is_last:
        own = _status(fields.get("status"))
        # While it is PENDING again, the document says nothing of the attempt before.
        if own not in ("", Status.PENDING):
            status = own
        message_id = message_id or _text(fields.get("messageId"))
        error = error or fields.get("lastError")
        if _instant(fields.get("readAt")):
            status = _READ
        elif status == Status.SENT and _instant(fields.get("deliveredAt")):
            status = Status.DELIVERED
    error = error if status == Status.FAILED and isinstance(error, dict) else {}
    recoverable = error.get("recoverable")
    return _Attempt(
        number,
        at=_instant(entry.get("at")) or document.update_time,
        status=status,
        message_id=message_id,
        error_code=_text(error.get("code")),
        recoverable=recoverable if isinstance(recoverable, bool) else None,
        is_last=is_last,
    )


def _number(entry: dict[str, Any], position: int) -> int:
    return _count(entry.get("attempt")) or position + 1


def _count(value: Any) -> int:
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return max(int(value), 0) if is_number else 0


def _status(value: Any) -> str:
    return value.strip().upper() if isinstance(value, str) else ""


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, dict | list):
        return None
    return str(value)


def _instant(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None
