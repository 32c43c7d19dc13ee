"""A laundromat's attempts, each with what WhatsApp knows of it: the truth that tables must tell.

Whose an attempt is, and when it was begun, is what the sender claims. It is compared with whom it
dialled, and everything after that is taken from WhatsApp's side.
"""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.base_query import FieldFilter

from tests.month.world import Sale
from tests.support import official_client
from whatsapp.fake.phones import same_person

if TYPE_CHECKING:
    from google.cloud import firestore

    from loader.services import Services
    from tests.month.fates import Posting
    from tests.month.hearing import HeardStatus
    from tests.month.network import WhatsAppNetwork
    from tests.month.world import Laundromat
    from whatsapp.fake.ledger import Message

__all__ = ["Attempt", "Outbox"]

# Whether a customer may get another message after a failure, by its code.
_RECOVERABLE = {
    "131016": True,
    "131026": False,
    "131042": True,
    "131049": True,
    "131050": False,
    "131056": True,
    "not_sent": True,
    "unknown_outcome": False,
}
_ORDER = ("PENDING", "SENT", "FAILED", "DELIVERED", "READ")
_GIVEN_UP_AFTER = timedelta(days=8)


@dataclass
class Attempt:
    """One attempt to send a message."""

    cnpj: str
    attempt_id: str
    campaign_type: str
    customer_id: str
    cycle_key: str
    number: int
    at: datetime
    variant: str
    voucher_code: str | None
    postings: list[Posting]
    """Of the sender, the oldest first; none: nothing was posted."""
    message: Message | None
    """What WhatsApp has accepted."""
    user_id: str | None
    """Of a person who hides the number; WhatsApp tells it with the message's id."""
    statuses: list[HeardStatus]
    """What WhatsApp has told of it, and our webhook has taken."""
    replies: list[datetime] = field(default_factory=list)
    is_given_up: bool = False
    """Nobody heard of it for eight days."""

    @property
    def key(self) -> tuple[str, str, str, int]:
        return (self.campaign_type, self.customer_id, self.cycle_key, self.number)

    @property
    def told(self) -> list[HeardStatus]:
        """Return the statuses of which somebody can say that they are this attempt's."""
        is_named = any(said.names_attempt for said in self.statuses)
        return self.statuses if is_named or self._answer == "SENT" else []

    @property
    def _answer(self) -> str:
        if not self.postings:
            return "FAILED"
        last = self.postings[-1]
        if last.message_id is not None:
            return "SENT"
        return "PENDING" if last.code is None else "FAILED"

    @property
    def is_unanswered(self) -> bool:
        return self._answer == "PENDING"

    @property
    def status(self) -> str:
        said = [self._answer, *(one.status.upper() for one in self.told)]
        if self.is_given_up:
            said.append("FAILED")
        return max(said, key=_ORDER.index)

    @property
    def has_failed(self) -> bool:
        return self.status == "FAILED"

    @property
    def error_code(self) -> str | None:
        if not self.has_failed:
            return None
        codes = [one.code for one in self.told if one.code is not None]
        if codes:
            return codes[0]
        if self.is_given_up:
            return "unknown_outcome"
        return self.postings[-1].code if self.postings else "not_sent"

    @property
    def is_recoverable(self) -> bool | None:
        code = self.error_code
        return None if code is None else _RECOVERABLE[code]

    @property
    def delivered_at(self) -> datetime | None:
        return self._first("delivered", "read")

    @property
    def read_at(self) -> datetime | None:
        return self._first("read")

    @property
    def known_message_id(self) -> str | None:
        """Return WhatsApp's id of the message, if it was answered, or told with the attempt."""
        if self.message is None or not (self._answer == "SENT" or self.told):
            return None
        return self.message.id

    @property
    def replied_at(self) -> datetime | None:
        return min(self.replies, default=None)

    @property
    def has_price(self) -> bool:
        return any(one.has_price for one in self.told)

    def _first(self, *statuses: str) -> datetime | None:
        return min((one.at for one in self.told if one.status in statuses), default=None)


@dataclass
class Outbox:
    """What one laundromat sends."""

    services: Services
    laundromat: Laundromat
    network: WhatsAppNetwork
    number_id: str
    log: list[Attempt] = field(default_factory=list)
    sales: list[Sale] = field(default_factory=list)
    """Sales with a voucher since they were last taken."""

    @property
    def cnpj(self) -> str:
        return self.laundromat.cnpj

    @cached_property
    def _client(self) -> firestore.Client:
        return official_client(self.services.environment)

    @cached_property
    def _templates(self) -> dict[tuple[str, str], str]:
        file = self.services.project.root / "seeds" / "message_templates.csv"
        with file.open(encoding="utf-8", newline="") as opened:
            return {
                (row["campaign_type"], row["variant"]): row["template_name"]
                for row in csv.DictReader(opened)
            }

    def gather(self, since: datetime) -> None:
        """Take up the attempts that were begun since an instant."""
        sends = self._client.collection("users", self.cnpj, "sends")
        known = {attempt.attempt_id for attempt in self.log}
        found = sends.where(filter=FieldFilter("at", ">=", since)).stream()
        for snapshot in sorted(found, key=lambda item: item.id):
            if snapshot.id not in known:
                self._take_up(snapshot.id, snapshot.to_dict() or {})

    def _take_up(self, attempt_id: str, send: dict[str, Any]) -> None:
        campaigns = self._client.collection("users", self.cnpj, "campaigns")
        targets = campaigns.document(send["campaignType"]).collection("targets")
        data = (targets.document(send["customerId"]).get().to_dict() or {})["data"]
        callback = f"v1.{self.cnpj}.{attempt_id}"
        accepted = [
            message
            for message in self.network.state.ledger.messages
            if message.callback_data == callback
        ]
        assert len(accepted) <= 1, f"{attempt_id} was accepted twice"
        message = accepted[0] if accepted else None
        attempt = Attempt(
            self.cnpj,
            attempt_id,
            send["campaignType"],
            send["customerId"],
            send["cycleKey"],
            send["attempt"],
            send["at"],
            data["template_variant"],
            data["voucher_code"],
            self.network.transport.postings.get(callback, []),
            message,
            self.network.state.recipient(message.to).user_id if message is not None else None,
            self.network.heard[message.id] if message is not None else [],
        )
        self._check_who(attempt)
        self.log.append(attempt)
        self._plan_sale(attempt)

    def _check_who(self, attempt: Attempt) -> None:
        """Check that the sender's claim is about whom it then dialled, and says what was sent."""
        customer = self.laundromat.customers[attempt.customer_id]
        for posting in attempt.postings:
            assert posting.to == f"+55{customer['telefone']}"
            assert posting.first_name == customer["nome"].split()[0]
            assert posting.template == self._templates[attempt.campaign_type, attempt.variant]
            assert posting.number_id == self.number_id
            assert timedelta() <= posting.at - attempt.at < timedelta(minutes=5)

    def _plan_sale(self, attempt: Attempt) -> None:
        """Let somebody use a voucher."""
        rng = random.Random(f"{self.cnpj} {attempt.key}")
        if attempt.message is None or attempt.voucher_code is None or rng.random() >= 0.4:
            return
        cpf = self.laundromat.customers[attempt.customer_id]["cpf"]
        used_at = attempt.at + timedelta(minutes=rng.randrange(60, 14_000))
        amount = rng.randrange(500, 5000) / 100
        self.sales.append(Sale(used_at, cpf, amount, attempt.voucher_code))

    # At the end

    def settle(self, now: datetime) -> None:
        """Find out which attempts were given up; only those that nobody heard of can be."""
        for attempt in self.log:
            if attempt.status == "PENDING" and now - attempt.at >= _GIVEN_UP_AFTER:
                path = f"users/{self.cnpj}/sends/{attempt.attempt_id}"
                status = (self._client.document(path).get().to_dict() or {})["status"]
                assert status in {"UNKNOWN", "FAILED"}
                attempt.is_given_up = status == "FAILED"

    def accepted(self) -> dict[str, list[Attempt]]:
        """Return the attempts that WhatsApp has taken, by person."""
        found: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in self.log:
            if attempt.message is not None:
                found[same_person(attempt.message.to)].append(attempt)
        return found
