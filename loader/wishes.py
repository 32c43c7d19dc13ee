"""What a suppression says: who wants no messages, from when until when. Pure.

``users/{cnpj}/suppressions/{id}`` applies from the moment at which the person opted out. Tracking
brings it into opt_outs, where builds find it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - its columns are made of these types
from typing import TYPE_CHECKING, Any

from loader.base.fields import Fields
from loader.base.persons import person_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["OptOutRow", "SuppressionDocument", "live_keys", "opt_out_row"]

_MAX_ID = 1500
_MAX_PHONE = 64
_MAX_SOURCE = 64
_MAX_USER_ID = 200
_NAMES_NOBODY = "it names nobody: no phone, customerId or userId that can be read"


@dataclass(frozen=True, slots=True)
class SuppressionDocument:
    """A document ``users/{cnpj}/suppressions/{id}``, as tracking reads it."""

    cnpj: str
    event_id: str
    update_time: datetime
    """Firestore's time of the last write."""
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OptOutRow:
    """One opt-out; the columns of opt_outs."""

    event_id: str
    phone: str | None
    user_id: str | None
    """The laundromat's own id of the customer."""
    whatsapp_user_id: str | None
    opted_out_at: datetime
    source: str
    resumed_at: datetime | None


def opt_out_row(document: SuppressionDocument) -> tuple[OptOutRow, list[str]]:
    """Return the row of a suppression, and what could not be read, one phrase each.

    There always is a row. A row that names nobody counts as unreadable in `vmhub check` and
    `vmhub status` until somebody completes it, so no opt-out is lost silently.
    """
    fields = Fields(document.fields)
    phone = fields.text("phone", most=_MAX_PHONE)
    customer_id = fields.text("customerId", most=_MAX_ID)
    user_id = fields.text("userId", most=_MAX_USER_ID)
    for key in _keys(fields):
        kind, _, value = key.partition(":")
        match kind:
            case "phone":
                phone = phone or (f"+{value}" if value else None)
            case "customer":
                customer_id = customer_id or value or None
            case "user":
                user_id = user_id or value or None
    opted_out_at = fields.instant("optedOutAt")
    resumed_at = fields.instant("resumedAt")
    if not (phone or customer_id or user_id):
        fields.problems.append(_NAMES_NOBODY)
    row = OptOutRow(
        event_id=document.event_id,
        phone=phone or None,
        user_id=customer_id or None,
        whatsapp_user_id=user_id or None,
        opted_out_at=opted_out_at or document.update_time,
        source=fields.text("source", most=_MAX_SOURCE) or "UNKNOWN",
        resumed_at=resumed_at,
    )
    return row, list(dict.fromkeys(fields.problems))


def live_keys(documents: Iterable[SuppressionDocument]) -> frozenset[str]:
    """Return the keys of all people that current suppressions name.

    A suppression is current unless its end can be read: in doubt, the person gets no message.
    """
    keys: set[str] = set()
    for document in documents:
        row, _ = opt_out_row(document)
        if row.resumed_at is None:
            keys.update(_keys(Fields(document.fields)))
            keys.update(
                person_keys(phone=row.phone, customer_id=row.user_id, user_id=row.whatsapp_user_id)
            )
    return frozenset(keys)


def _keys(fields: Fields) -> list[str]:
    return fields.texts("keys", most=_MAX_ID)
