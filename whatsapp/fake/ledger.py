"""The accepted messages and all calls; tests compare the sender's results with them."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from whatsapp.fake.requests import Endpoint

__all__ = ["Call", "Event", "Inbound", "Message", "MessageLedger"]

# What our sender puts into biz_opaque_callback_data.
_CALLBACK_DATA = re.compile(r"v1\.(?P<cnpj>[0-9A-Z]{14})\.(?P<attempt>[^.]+)")


@dataclass(frozen=True)
class Event:
    """A status of a message, sent by webhook already or soon."""

    status: str
    at: datetime
    error_code: int | None = None


@dataclass(frozen=True)
class Message:
    """One accepted message."""

    id: str
    at: datetime
    number_id: str
    waba_id: str
    portfolio_id: str
    endpoint: Endpoint
    to: str
    """The digits that were dialled."""
    text: str
    """What the person reads."""
    callback_data: str | None
    template: str | None = None
    language: str | None = None
    category: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    buttons: tuple[str, ...] = ()
    message_status: str = "accepted"
    answer: str = "ok"
    """What the caller learned: ok, or the kind of the fault."""
    events: tuple[Event, ...] = ()

    @property
    def _ours(self) -> re.Match[str] | None:
        return _CALLBACK_DATA.fullmatch(self.callback_data or "")

    def as_json(self) -> dict[str, Any]:
        """Return everything, with the cnpj and the attempt that the callback data names."""
        ours = self._ours
        return asdict(self) | {
            "at": self.at.isoformat(),
            "events": [asdict(event) | {"at": event.at.isoformat()} for event in self.events],
            "cnpj": ours["cnpj"] if ours else None,
            "attempt_id": ours["attempt"] if ours else None,
        }


@dataclass(frozen=True)
class Call:
    """One request to send, whatever became of it."""

    at: datetime
    number_id: str
    endpoint: Endpoint
    to: str | None
    outcome: str
    """accepted, the kind of a fault that accepted nothing, or the error code."""

    def as_json(self) -> dict[str, Any]:
        """Return everything."""
        return asdict(self) | {"at": self.at.isoformat()}


@dataclass(frozen=True)
class Inbound:
    """What a person wrote."""

    at: datetime
    number_id: str
    sender: str
    text: str


class MessageLedger:
    """Accepted messages in their order, all calls, and what people wrote."""

    def __init__(self) -> None:
        """Begin empty."""
        self._messages: dict[str, Message] = {}
        self.calls: list[Call] = []
        self.inbound: list[Inbound] = []

    @property
    def messages(self) -> tuple[Message, ...]:
        """Return the accepted messages, the oldest first."""
        return tuple(self._messages.values())

    def add(self, message: Message) -> None:
        """Record an accepted message."""
        self._messages[message.id] = message

    def find(self, message_id: str) -> Message | None:
        """Return a message by its id."""
        return self._messages.get(message_id)

    def add_event(self, message_id: str, event: Event) -> None:
        """Record a status of a message."""
        message = self._messages[message_id]
        self._messages[message_id] = replace(message, events=(*message.events, event))
