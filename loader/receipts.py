"""From the documents of single attempts to rows of message_history, as pure functions.

A document ``users/{cnpj}/sends/{attemptId}`` holds one attempt with its receipts. The next cycle
replaces the target document but keeps this one, so late receipts are found here. Both documents
give a row for the attempt; the rows have the same key and are merged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from loader.base.fields import MAX_COUNT, Fields
from loader.messages import (
    MAX_CYCLE_KEY,
    MAX_MESSAGE_ID,
    READ,
    HistoryRow,
    Status,
    is_recoverable,
    possible_instant,
    status_of,
)

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "EARLIEST",
    "KEPT",
    "OF_FAILURES",
    "SendDocument",
    "merged",
    "send_row",
    "status_rank",
]

ValueT = TypeVar("ValueT")

# Firestore's limit for a document id, in bytes; a customer's id is a document id.
_MAX_ID = 1500
_MAX_CAMPAIGN = 200
_MAX_USER_ID = 200
_CATEGORY = re.compile(r"[A-Z_]{1,64}")

_RANKS = {Status.PENDING.value: 0, Status.FAILED.value: 2, Status.DELIVERED.value: 3, READ: 4}

KEPT = (
    "message_content",
    "phone",
    "message_id",
    "template_variant",
    "voucher_code",
    "whatsapp_user_id",
    "price_category",
)
"""Columns that do not change once they have a value."""
OF_FAILURES = ("error_code", "recoverable")
"""Columns that keep their value, too, until the message arrives after all."""
EARLIEST = ("delivered_at", "read_at", "replied_at")
"""Columns that keep the earliest instant."""


@dataclass(frozen=True, slots=True)
class SendDocument:
    """A document ``users/{cnpj}/sends/{attemptId}``, as tracking reads it."""

    cnpj: str
    attempt_id: str
    update_time: datetime
    """Firestore's time of the last write."""
    fields: dict[str, Any]


def send_row(document: SendDocument, as_of: datetime) -> tuple[HistoryRow | None, list[str]]:
    """Return the row of one attempt, and what could not be read.

    Args:
        document: The attempt.
        as_of: The run's instant.

    Returns:
        The row, None if its key cannot be read; and the problems, one phrase each, without values
        of the document. The row has no text and no phone: only the target has them.

    """
    fields = Fields(document.fields)
    campaign_type = fields.text("campaignType", most=_MAX_CAMPAIGN)
    customer_id = fields.text("customerId", most=_MAX_ID)
    cycle_key = fields.text("cycleKey", most=MAX_CYCLE_KEY)
    attempt = fields.count("attempt")
    if not campaign_type or not customer_id or not cycle_key or not attempt:
        what = {
            "campaignType": campaign_type,
            "customerId": customer_id,
            "cycleKey": cycle_key,
            "attempt": attempt,
        }
        missing = ", ".join(name for name, value in what.items() if not value)
        return None, [f"it does not say which attempt it is: {missing}", *fields.problems]
    delivered_at, read_at = fields.instant("deliveredAt"), fields.instant("readAt")
    status = _status(fields, delivered_at, read_at)
    has_failed = status == Status.FAILED
    error, pricing = fields.map("error"), fields.map("pricing")
    at = possible_instant(fields, "at", document.update_time, as_of)
    row = HistoryRow(
        user_id=customer_id,
        campaign_type=campaign_type,
        cycle_key=cycle_key,
        attempt=min(attempt, MAX_COUNT),
        sent_at=at or document.update_time,
        status=status,
        message_content=None,
        phone=None,
        message_id=fields.text("messageId", most=MAX_MESSAGE_ID),
        error_code=error.code("code") if has_failed else None,
        recoverable=is_recoverable(error) if has_failed else None,
        delivered_at=delivered_at,
        read_at=read_at,
        replied_at=fields.instant("repliedAt"),
        updated_at=fields.instant("updatedAt") or document.update_time,
        template_variant=None,
        voucher_code=None,
        whatsapp_user_id=fields.text("userId", most=_MAX_USER_ID) or None,
        price_category=_category(pricing),
        is_billable=pricing.flag("billable"),
    )
    return row, list(dict.fromkeys(fields.problems))


def _status(fields: Fields, delivered_at: datetime | None, read_at: datetime | None) -> str:
    """Return the status for message_history: an attempt without a known end is PENDING."""
    if read_at is not None:
        return READ
    status = status_of(fields)
    if delivered_at is not None and status != READ:
        # These receipts belong to this attempt, so they win over a failure, too.
        return Status.DELIVERED
    return status if status in {*Status, READ} else Status.PENDING


def _category(pricing: Fields) -> str | None:
    text = pricing.text("category")
    category = text.strip().upper() if text else None
    if category is not None and not _CATEGORY.fullmatch(category):
        pricing.problems.append("pricing.category is not one word of letters")
        return None
    return category


def status_rank(status: str) -> int:
    """Return a status's place in the order PENDING, SENT, FAILED, DELIVERED, READ.

    FAILED comes before DELIVERED: a receipt proves that a message arrived although it was reported
    as failed, and the customer must not get it again. Any other word counts like SENT.
    """
    return _RANKS.get(status, 1)


def merged(known: HistoryRow, news: HistoryRow) -> HistoryRow:
    """Return two rows with the same key as one; `loader.bigquery.history` does it in SQL.

    The order of the rows, and how often one comes, does not matter: the status only moves forward,
    the earliest instant wins, and other values stay once they are known, but for the error of a
    message that has arrived. Only ``updated_at`` depends on the order: it is that of the last row
    with something new.
    """
    rank = status_rank(known.status)
    is_further = status_rank(news.status) > rank
    has_arrived = max(rank, status_rank(news.status)) > _RANKS[Status.FAILED]
    values: dict[str, Any] = {
        "status": news.status if is_further else known.status,
        "sent_at": min(known.sent_at, news.sent_at),
        "is_billable": _either(known.is_billable, news.is_billable),
    }
    for name in KEPT:
        values[name] = _first(getattr(known, name), getattr(news, name))
    for name in OF_FAILURES:
        first = _first(getattr(known, name), getattr(news, name))
        values[name] = None if has_arrived else first
    for name in EARLIEST:
        values[name] = _earliest(getattr(known, name), getattr(news, name))
    both = replace(known, **values)
    if both == known:
        return known
    return replace(both, updated_at=max(known.updated_at, news.updated_at))


def _first(known: ValueT | None, news: ValueT | None) -> ValueT | None:
    return news if known is None else known


def _earliest(known: datetime | None, news: datetime | None) -> datetime | None:
    return min((instant for instant in (known, news) if instant is not None), default=None)


def _either(known: bool | None, news: bool | None) -> bool | None:  # noqa: FBT001 - a column
    return True if known or news else _first(known, news)
