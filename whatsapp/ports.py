"""What an attempt needs from the outside world, and from the sender's own books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from whatsapp.accounts import Account
    from whatsapp.api import Endpoint
    from whatsapp.attempts import Attempt
    from whatsapp.outcomes import Answer
    from whatsapp.targets import SendState, TargetState, Template, WhyNot

__all__ = ["Books", "SendApi", "SendStore"]


class SendStore(Protocol):
    """The part of `whatsapp.store.Store` that an attempt needs."""

    async def target(self, name: str) -> TargetState | None:
        """Return a document as it is now."""

    async def is_suppressed(self, target: TargetState) -> bool:
        """Return whether the customer must not be written to."""

    async def both(
        self, target: TargetState, attempt: Attempt
    ) -> tuple[TargetState | None, SendState | None]:
        """Return a target and one of its attempts as they are now."""

    async def claim(self, target: TargetState, attempt: Attempt) -> tuple[datetime, SendState]:
        """Begin an attempt, and return the target's update time and the attempt's document."""

    async def record(
        self,
        target: TargetState,
        attempt: Attempt,
        *,
        fields: dict[str, Any] | None,
        send: tuple[SendState, dict[str, Any]] | None,
        suppression: dict[str, Any] | None = None,
    ) -> None:
        """Record the result of an attempt."""


class SendApi(Protocol):
    """The part of `whatsapp.api.Api` that an attempt needs."""

    async def send(
        self, number_id: str, endpoint: Endpoint, body: Mapping[str, Any], token: str
    ) -> Answer:
        """Post a message, and return what the answer proves."""


class Books(Protocol):
    """What the sender keeps in memory while attempts are made."""

    def reserve(self, account: Account, person: str, category: str) -> WhyNot | None:
        """Take one message of this category from the budgets; return why that is not possible."""

    def give_back(self, account: Account, category: str) -> None:
        """Give back the money of a message that is not sent."""

    def forbids(self, account: Account, template: Template | None) -> bool:
        """Return whether posting is forbidden now.

        That is when the lease is lost, the process ends, or another message's answer began a pause.
        """

    async def turn(self, account: Account, phone: str) -> None:
        """Wait until the number may send one more message to this person, and count it."""

    def refused(self, account: Account, phone: str, answer: Answer, tries: int) -> None:
        """Note that a message was refused and will be posted again."""

    async def rest(self, seconds: float) -> None:
        """Wait some seconds before posting again; return early if the process is to end."""

    async def token(self, account: Account) -> str:
        """Return the access token."""
