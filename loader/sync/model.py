"""What sync moves: a row of campaign_targets, a target document, and what became of a row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Outcome", "Status", "Target", "TargetDocument"]


class Status(StrEnum):
    """Where a target document stands; the WhatsApp integration moves it on from PENDING."""

    PENDING = "PENDING"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


class Outcome(StrEnum):
    """What became of a row, or, for WITHDRAWN, of a document without a row."""

    CREATED = "created"
    REPLACED = "replaced"
    UPDATED = "updated"
    REQUEUED = "requeued"
    UNCHANGED = "unchanged"
    IN_FLIGHT = "in_flight"
    ALREADY_SENT = "already_sent"
    EXHAUSTED = "exhausted"
    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"
    FAILED = "failed"
    DEFERRED = "deferred"
    """The run did not get to the row: its limit was reached, or it was stopped."""


class Target(NamedTuple):
    """One row of campaign_targets; instants are aware and in UTC.

    A named tuple, since a million of them are made by one call each.
    """

    cnpj: str
    campaign_type: str
    customer_id: str
    name: str
    phone: str
    data: str
    """A JSON object, as text."""
    cycle_key: str
    cycle_start: datetime
    expires_at: datetime
    built_at: datetime


@dataclass(frozen=True, slots=True)
class TargetDocument:
    """What of a target document decides what sync may do with it.

    Every field but the id and the update time can be missing: other programs write here too.
    """

    customer_id: str
    update_time: datetime
    """The service's own time of the last write; the precondition of ours."""
    status: str | None
    payload: bytes
    """A digest of what a row gives a document: equal digests, equal payloads."""
    attempts: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    claimed_until: datetime | None = None
    next_attempt_at: datetime | None = None
    is_recoverable: bool = True
    """Whether the last error, if any, allows another attempt; unknown counts as true."""
    is_recorded: bool = True
    """Whether message_history has all that the document says of messages sent."""
    was_attempted: bool = False
    """Whether the document tells of attempts to send it."""
    doubt: str = ""
    """What of the fields that decide cannot be read; empty: all can."""
    has_open_attempt: bool = False
    """Whether the newest attempt was begun and its end is not known: it may have been sent."""
