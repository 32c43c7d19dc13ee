"""The data of sync: a row of campaign_targets, a target document, and the outcome of a row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Outcome", "Status", "Target", "TargetDocument"]


class Status(StrEnum):
    """The status of a target document; the WhatsApp integration changes it from PENDING on."""

    PENDING = "PENDING"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


class Outcome(StrEnum):
    """The outcome of a row, or, for WITHDRAWN, of a document without a row."""

    CREATED = "created"
    REPLACED = "replaced"
    UPDATED = "updated"
    REQUEUED = "requeued"
    UNCHANGED = "unchanged"
    IN_FLIGHT = "in_flight"
    ALREADY_SENT = "already_sent"
    EXHAUSTED = "exhausted"
    SUPPRESSED = "suppressed"
    """The customer has opted out since the targets were built, or a little before."""
    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"
    FAILED = "failed"
    DEFERRED = "deferred"
    """The run did not get to the row: its limit was reached, or it was stopped."""


class Target(NamedTuple):
    """One row of campaign_targets; instants are aware and in UTC.

    A named tuple, since a run can create a million of them.
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
    """The part of a target document that decides what sync may do with it.

    Every field but the id and the update time can be missing: other programs write here too.
    """

    customer_id: str
    update_time: datetime
    """Firestore's time of the last write; the precondition of our write."""
    status: str | None
    payload: bytes
    """A digest of the fields that come from a row: equal digests, equal payloads."""
    attempts: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    claimed_until: datetime | None = None
    next_attempt_at: datetime | None = None
    is_recoverable: bool = True
    """Whether the last error, if any, allows another attempt; unknown counts as true."""
    is_recorded: bool = True
    """Whether message_history has everything the document says about sent messages."""
    was_attempted: bool = False
    """Whether the document shows attempts to send it."""
    doubt: str = ""
    """The deciding fields that cannot be read; empty: all can be read."""
    has_open_attempt: bool = False
    """Whether the newest attempt has an unknown end: the message may have been sent."""
    phone: str | None = None
    """Where the message would go, in E.164."""
