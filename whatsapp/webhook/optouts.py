"""Opt-outs as documents: whom they name, and what ends them. Pure.

A suppression is found by its keys: phone, customer and user id, as far as they are known. The
document's id is made from the event, so that a repeated webhook writes the same document.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from loader.base.persons import person_keys, same_person, with_ninth_digit
from loader.firestore.wire import SERVER_TIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from whatsapp.webhook.items import Choice, InboundMessage, Person, Receipt

__all__ = [
    "OptOut",
    "OptOutSource",
    "event_id",
    "keys_of",
    "of_choice",
    "of_message",
    "of_refusal",
    "resumed_at",
    "suppression",
]


class OptOutSource(StrEnum):
    """How the person opted out; only the ways that come by webhook."""

    TEXT = "WHATSAPP_TEXT"
    BUTTON = "WHATSAPP_BUTTON"
    PREFERENCES = "WHATSAPP_PREFERENCES"


@dataclass(frozen=True, slots=True)
class OptOut:
    """A person who wants no more messages from a moment on."""

    event_id: str
    """The document's id."""
    source: OptOutSource
    at: datetime
    person: Person
    message_id: str | None = None


def of_message(message: InboundMessage) -> OptOut:
    """Return the opt-out that somebody wrote or tapped."""
    source = OptOutSource.BUTTON if message.is_button else OptOutSource.TEXT
    return OptOut(
        event_id(message.message_id), source, message.at, message.person, message.message_id
    )


def of_choice(choice: Choice) -> OptOut:
    """Return the opt-out chosen in the app; the event has no id, so its content makes one."""
    who = choice.person.user_id or same_person(choice.person.phone or "")
    told = f"{choice.number_id} {choice.value} {who} {choice.at.timestamp():.0f}"
    made = hashlib.sha256(told.encode()).hexdigest()[:32]
    return OptOut(f"preference-{made}", OptOutSource.PREFERENCES, choice.at, choice.person)


def of_refusal(receipt: Receipt, attempt_id: str) -> OptOut:
    """Return the opt-out that a refused message shows, in the same form as the sender writes it."""
    return OptOut(
        attempt_id, OptOutSource.PREFERENCES, receipt.at, receipt.person, receipt.message_id
    )


def event_id(message_id: str) -> str:
    """Return a message's id as a legal document id: WhatsApp's ids may contain ``/``."""
    return "m-" + quote(message_id, safe="")


def keys_of(person: Person) -> list[str]:
    """Return the keys of a person; both forms of a phone number give the same key."""
    return person_keys(phone=person.phone, user_id=person.user_id)


def suppression(opt_out: OptOut, customer_ids: Iterable[str]) -> dict[str, Any]:
    """Return the fields of ``users/{cnpj}/suppressions/{event_id}``.

    Args:
        opt_out: The event.
        customer_ids: The laundromat's customers that it is about; if empty, the phone decides.

    """
    customers = sorted(set(customer_ids))
    phone, user_id = opt_out.person.phone, opt_out.person.user_id
    fields = {
        "keys": sorted({*keys_of(opt_out.person), *(f"customer:{id_}" for id_ in customers)}),
        "phone": f"+{with_ninth_digit(phone)}" if phone is not None else None,
        "customerId": customers[0] if customers else None,
        "userId": user_id,
        "source": opt_out.source.value,
        "optedOutAt": opt_out.at,
        "messageId": opt_out.message_id,
        "updatedAt": SERVER_TIME,
    }
    return {name: value for name, value in fields.items() if value is not None}


def resumed_at(fields: Mapping[str, Any], resumes: Iterable[datetime]) -> datetime | None:
    """Return when a suppression ended; None: it still applies.

    Only an opt-out that was chosen in the app can be ended there, and only by a later choice.

    Args:
        fields: The suppression.
        resumes: When the person chose to get messages again.

    """
    began = fields.get("optedOutAt")
    if fields.get("source") != OptOutSource.PREFERENCES or not isinstance(began, datetime):
        return None
    later = [at for at in resumes if at > began]
    known = fields.get("resumedAt")
    if isinstance(known, datetime):
        later.append(known)
    return min(later, default=None)
