"""What one webhook may tell, as types; behind `whatsapp.webhook.parsing` nobody sees JSON."""

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
    """Which attempt a status belongs to, as our own callback data say it."""

    cnpj: str
    attempt_id: str


@dataclass(frozen=True, slots=True)
class Person:
    """Who it is about, as far as WhatsApp says; of people with a user name the id only."""

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
    """Of a failed status, when it has one."""
    pricing: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """category, type, billable and model, as far as they are told."""


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """What a person wrote or tapped."""

    number_id: str
    message_id: str
    at: datetime
    person: Person
    context_id: str | None = None
    """The message of ours that it answers."""
    text: str | None = None
    """The words; of a button its text; None: a picture, a sound, …"""
    payload: str | None = None
    """What the button carries."""
    is_button: bool = False


class ChoiceValue(StrEnum):
    """What a person chose in the app."""

    STOP = "stop"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Choice:
    """A person stops marketing messages in the app, or wants them again."""

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
    """The number's digits; the event does not tell its id."""
    limit: str | None = None
    """Of people in 24 hours: a tier or a number; -1 is none."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An item that cannot be read; holds nothing of the item itself."""

    kind: str
    """status, message, choice, opt_out, news or body."""
    reason: str
    number_id: str | None = None
    """The business's number, when that could be read."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Everything that one POST holds."""

    receipts: tuple[Receipt, ...] = ()
    messages: tuple[InboundMessage, ...] = ()
    choices: tuple[Choice, ...] = ()
    news: tuple[AccountNews, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    ignored: int = 0
    """Items that are none of our business, such as a status of a deleted message."""
