"""Did a schedule with a webhook keep the promises, and do documents say what WhatsApp told?"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.faults.judge import Judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tests.faults.documents import Found
    from whatsapp.fake.ledger import Message

__all__ = ["HookJudge"]


class HookJudge(Judge):
    """Looks at what was told of the accepted messages, too."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.named: set[str] = set()
        """Messages of which a status had our callback data."""
        self.arrived: dict[str, datetime] = {}
        """When the webhook answered 200 to such a status that says that the message has arrived."""
        self._began: dict[str, datetime] = {}
        """When each message's attempt began."""

    def _is_campaigns(self, message: Message) -> bool:
        # Who writes SAIR gets an answer, which is no template.
        return message.template is not None

    def _is_once(self, messages: Sequence[Message]) -> bool:
        """Allow another message only after the one before was told to have failed.

        And only if none before was known to have arrived when the attempt began.
        """
        for number, later in enumerate(messages):
            for earlier in messages[:number]:
                arrived = self.arrived.get(earlier.id)
                if arrived is None:
                    continue
                if arrived < self._began[later.id]:
                    return False
                self.seen["another was sent before it arrived"] += 1
        return all(
            any(event.status == "failed" and event.at <= later.at for event in earlier.events)
            for earlier, later in pairwise(messages)
        )

    def _is_accepted(self, accepted: Sequence[Message]) -> bool:
        # A message may arrive after it has failed and another was sent: then a person has both.
        return any(self._stands(message) for message in accepted)

    def _stands(self, message: Message) -> bool:
        told = _told(message)
        return "failed" not in told or bool(told & {"delivered", "read"})

    def _judge_status(self, send: dict[str, Any], message: Message) -> None:
        """Every attempt says what WhatsApp told of it, unless nothing could name it."""
        self._began[message.id] = send["at"]
        told = _told(message)
        wanted = next((s for s in ("read", "delivered", "failed", "sent") if s in told), None)
        is_nameless = message.id not in self.named and "messageId" not in send
        if wanted is None or is_nameless:
            super()._judge_status(send, message)
            return
        found = send["status"]
        self._require(found == wanted.upper(), f"{message.id}: {wanted} was told, not {found}")
        self.seen[f"is {wanted}"] += 1
        has_arrived = wanted in {"read", "delivered"}
        self.seen["arrives after it failed"] += has_arrived and "failed" in told
        self._require(has_arrived == ("deliveredAt" in send), f"{message.id}: a wrong deliveredAt")
        self._require((wanted == "read") == ("readAt" in send), f"{message.id}: a wrong readAt")

    def _is_recorded(self, status: str, recorded: str) -> bool:
        return status == recorded

    def _judge_log(self, cnpj: str, target: Found, attempts: Mapping[str, dict[str, Any]]) -> None:
        super()._judge_log(cnpj, target, attempts)
        log = target.fields.get("attemptLog", [])
        has_arrived = any(entry["status"] in {"DELIVERED", "READ"} for entry in log)
        if has_arrived and not target.is_open:
            status, key = target.fields["status"], (cnpj, target.campaign_type, target.customer_id)
            self._require(status == "DELIVERED", f"{key} has arrived and is {status}")


def _told(message: Message) -> set[str]:
    return {event.status for event in message.events}
