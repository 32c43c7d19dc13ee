"""What sync moves: a row of campaign_targets, a target document, and what became of a row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

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


@dataclass(frozen=True, slots=True)
class Target:
    """One row of campaign_targets; instants are aware and in UTC."""

    cnpj: str
    campaign_type: str
    customer_id: str
    name: str
    phone: str
    data: dict[str, Any]
    cycle_key: str
    cycle_start: datetime
    expires_at: datetime
    built_at: datetime


@dataclass(frozen=True, slots=True)
class TargetDocument:
    """The fields of a target document that decide what sync may do with it.

    Every field but the id and the update time can be missing: other programs write here too.
    """

    customer_id: str
    update_time: datetime
    """The service's own time of the last write; the precondition of ours."""
    status: str | None
    attempts: int
    name: str | None
    phone: str | None
    data: dict[str, Any] | None
    cycle_key: str | None
    cycle_start: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    expires_at: datetime | None
    claimed_until: datetime | None
    next_attempt_at: datetime | None
    is_recoverable: bool
    """Whether the last error, if any, allows another attempt; unknown counts as true."""
