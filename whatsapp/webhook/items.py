"""The types of what a webhook can tell; only `whatsapp.webhook.parsing` sees JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

__all__ = [
    "AccountNews",
    "AttemptRef",
    "Choice",
    "ChoiceValue",
    "InboundMessage",
    "NewsKind",
    "Parsed",
    "Person",
    "Receipt",
    "ToldStatus",
    "Unreadable",
]


class ToldStatus(StrEnum):
    """What a status says of a message."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AttemptRef:
    """The attempt that a status belongs to, from our own callback data."""

    cnpj: str
    attempt_id: str


@dataclass(frozen=True, slots=True)
class Person:
    """The person, as far as WhatsApp tells; for people with a user name only the id."""

    phone: str | None = None
    """Digits with the country code, with or without the ninth digit."""
    user_id: str | None = None
    """The business-scoped id."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A status of one message."""

    number_id: str
    message_id: str
    status: ToldStatus
    at: datetime
    attempt: AttemptRef | None = None
    person: Person = Person()
    code: int | None = None
    """The error code of a failed status, if it has one."""
    pricing: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """category, type, billable and model; only those that WhatsApp told."""


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """What a person wrote or tapped."""

    number_id: str
    message_id: str
    at: datetime
    person: Person
    context_id: str | None = None
    """Our message that it answers."""
    text: str | None = None
    """The words, or a button's text; None: a picture, a sound, …"""
    payload: str | None = None
    """The button's payload."""
    is_button: bool = False


class ChoiceValue(StrEnum):
    """What a person chose in the app."""

    STOP = "stop"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Choice:
    """A person stops or resumes marketing messages in the app."""

    number_id: str
    value: ChoiceValue
    at: datetime
    person: Person


class NewsKind(StrEnum):
    """What an event of an account is about."""

    TEMPLATE = "template"
    CATEGORY = "category"
    NUMBER = "number"
    LIMIT = "limit"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class AccountNews:
    """A template, number, limit or account has changed."""

    waba_id: str
    kind: NewsKind
    at: datetime
    event: str
    """WhatsApp's own word, such as PAUSED."""
    reason: str = ""
    template: tuple[str, str] | None = None
    """Name and language."""
    number: str | None = None
    """The phone number's digits; the event does not name its id."""
    limit: str | None = None
    """The limit of people in 24 hours: a tier or a number; -1: no limit."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An item that cannot be read or applied; holds nothing of its content."""

    kind: str
    """status, message, choice, opt_out, news or body."""
    reason: str
    number_id: str | None = None
    """The id of the business's number, if it could be read."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Everything that one POST holds."""

    receipts: tuple[Receipt, ...] = ()
    messages: tuple[InboundMessage, ...] = ()
    choices: tuple[Choice, ...] = ()
    news: tuple[AccountNews, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    ignored: int = 0
    """How many items are not for us, such as the status of a deleted message."""
