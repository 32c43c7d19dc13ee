"""A scripted WhatsApp integration: failures, crashes, late receipts, days of silence.

It follows the duties of docs/integration.md and keeps its own log; the tables must agree with it.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import FailedPrecondition
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter

from tests.month.world import Sale
from tests.support import official_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.cloud.firestore_v1.document import DocumentReference

    from loader.base.environment import Environment
    from tests.month.world import Laundromat

__all__ = ["Attempt", "Sender"]

_UNREACHABLE = {"code": "131026", "message": "undeliverable", "recoverable": False}
_UNAVAILABLE = {"code": "131016", "message": "unavailable", "recoverable": True}
_DEFERRED = {"code": "131049", "message": "not now", "recoverable": True}


@dataclass
class Attempt:
    """One call to WhatsApp, with what is known about it so far."""

    campaign_type: str
    customer_id: str
    cycle_key: str
    number: int
    at: datetime
    message_id: str
    variant: str
    voucher_code: str | None
    status: str = "SENT"
    error: dict[str, Any] | None = None
    delivered_at: datetime | None = None
    read_at: datetime | None = None
    replied_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str, str, int]:
        return (self.campaign_type, self.customer_id, self.cycle_key, self.number)

    @property
    def has_failed(self) -> bool:
        return self.status == "FAILED"


@dataclass
class Sender:
    """Sends for one laundromat."""

    environment: Environment
    laundromat: Laundromat
    is_silent: Callable[[datetime], bool]
    """Whether it is down at an instant; events from WhatsApp then wait."""
    log: list[Attempt] = field(default_factory=list)
    opt_outs: list[dict[str, Any]] = field(default_factory=list)
    """Rows of opt_outs since they were last taken."""
    sales: list[Sale] = field(default_factory=list)
    """Sales with a voucher since they were last taken."""
    _events: list[tuple[datetime, int, Callable[[datetime], None]]] = field(default_factory=list)
    _order: Any = field(default_factory=count)

    @cached_property
    def _client(self) -> firestore.Client:
        return official_client(self.environment)

    def act(self, at: datetime) -> None:
        """Do the work of one hour."""
        if self.is_silent(at):
            return
        while self._events and self._events[0][0] <= at:
            _, _, event = heapq.heappop(self._events)
            event(at)
        campaigns = self._client.collection("users", self.laundromat.cnpj, "campaigns")
        for campaign in sorted(campaigns.list_documents(), key=lambda item: item.id):
            pending = campaign.collection("targets").where(
                filter=FieldFilter("status", "==", "PENDING")
            )
            for snapshot in sorted(pending.stream(), key=lambda item: item.id):
                self._send(campaign.id, snapshot, at)

    def _send(self, campaign_type: str, snapshot: Any, at: datetime) -> None:
        fields = snapshot.to_dict()
        claimed_until = fields.get("claimedUntil")
        if fields["expiresAt"] <= at or (claimed_until and claimed_until > at):
            return
        if len(fields.get("attemptLog", [])) > fields["attempts"]:
            # It was posted before a crash: WhatsApp will report the result.
            return
        attempt = Attempt(
            campaign_type,
            snapshot.id,
            fields["cycleKey"],
            fields["attempts"] + 1,
            at,
            message_id=f"wamid.{self.laundromat.cnpj}.{len(self.log)}",
            variant=fields["data"]["template_variant"],
            voucher_code=fields["data"]["voucher_code"],
        )
        rng = random.Random(f"{self.laundromat.cnpj} {attempt.key}")
        entry = {"attempt": attempt.number, "at": at, "status": "SENDING"}
        claim = {
            "claimedUntil": at + timedelta(minutes=5),
            "attemptLog": [*fields.get("attemptLog", []), entry],
            "updatedAt": at,
        }
        reference: DocumentReference = snapshot.reference
        option = self._client.write_option(last_update_time=snapshot.update_time)
        try:
            reference.update(claim, option=option)
        except FailedPrecondition:
            return
        self.log.append(attempt)
        chance = rng.random()
        if chance < 0.15:
            attempt.status, attempt.error = "FAILED", _UNAVAILABLE
        elif chance < 0.2:
            attempt.status, attempt.error = "FAILED", _UNREACHABLE
        if 0.2 <= chance < 0.28:
            # It crashes before it can record the result; WhatsApp reports it hours later.
            attempt.status = "PENDING"
            hours = rng.randrange(3, 30)
            self._later(at + timedelta(hours=hours), lambda now: self._crash_told(attempt, now))
        else:
            self._record(attempt, at)
            if attempt.status == "SENT" and chance > 0.95:
                hours = rng.randrange(2, 40)
                self._later(at + timedelta(hours=hours), lambda now: self._fail_late(attempt, now))
                return
        if not attempt.has_failed:
            self._plan_receipts(attempt, rng)

    def _plan_receipts(self, attempt: Attempt, rng: random.Random) -> None:
        at = attempt.at
        delivered_at = at + timedelta(minutes=rng.randrange(1, 300))
        if rng.random() < 0.1:
            delivered_at = at + timedelta(days=rng.randrange(2, 9))
        is_told = rng.random() < 0.85
        if is_told:
            self._later(delivered_at, lambda now: self._receipt(attempt, now, "delivered_at"))
        if rng.random() < 0.6:
            read_at = delivered_at + timedelta(minutes=rng.randrange(1, 3000))
            self._later(read_at, lambda now: self._receipt(attempt, now, "read_at"))
            if rng.random() < 0.3:
                self._later(
                    read_at + timedelta(minutes=9),
                    lambda now: self._receipt(attempt, now, "replied_at"),
                )
            if rng.random() < 0.07:
                phone = self.laundromat.customers[attempt.customer_id]["telefone"]
                self.opt_outs.append(
                    {"phone": f"+55{phone}", "opted_out_at": read_at.isoformat(), "source": "STOP"}
                )
        if attempt.voucher_code and rng.random() < 0.4:
            cpf = self.laundromat.customers[attempt.customer_id]["cpf"]
            used_at = at + timedelta(minutes=rng.randrange(60, 14_000))
            self.sales.append(
                Sale(used_at, cpf, rng.randrange(500, 5000) / 100, attempt.voucher_code)
            )

    # What WhatsApp tells later

    def _later(self, at: datetime, event: Callable[[datetime], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), event))

    def _crash_told(self, attempt: Attempt, now: datetime) -> None:
        if attempt.status == "PENDING" and self._document(attempt) is not None:
            attempt.status = "SENT"
            self._record(attempt, now)

    def _fail_late(self, attempt: Attempt, now: datetime) -> None:
        reference = self._document(attempt)
        if reference is None:
            return
        attempt.status, attempt.error = "FAILED", _DEFERRED
        reference.update(
            {
                "status": "FAILED",
                "lastError": _DEFERRED,
                "nextAttemptAt": now + timedelta(hours=24),
                "updatedAt": now,
            }
        )

    def _receipt(self, attempt: Attempt, now: datetime, name: str) -> None:
        reference = self._document(attempt)
        if reference is None:
            return
        if attempt.status == "PENDING":
            # It is not yet recorded as sent: the receipt shows that it was.
            attempt.status = "SENT"
            self._record(attempt, now)
        setattr(attempt, name, now)
        field_name = {"delivered_at": "deliveredAt", "read_at": "readAt"}.get(name, "repliedAt")
        reference.update({"status": "DELIVERED", field_name: now, "updatedAt": now})
        attempt.status = "READ" if attempt.read_at else "DELIVERED"

    # What it writes

    def _record(self, attempt: Attempt, now: datetime) -> None:
        reference = self._reference(attempt)
        entries = (reference.get().to_dict() or {})["attemptLog"]
        entries[-1] |= {"status": attempt.status, "messageId": attempt.message_id}
        if attempt.error:
            entries[-1]["error"] = attempt.error
        fields: dict[str, Any] = {
            "status": attempt.status,
            "attempts": attempt.number,
            "attemptLog": entries,
            "messageId": attempt.message_id,
            "claimedUntil": firestore.DELETE_FIELD,
            "updatedAt": now,
        }
        if attempt.error:
            fields |= {"lastError": attempt.error, "nextAttemptAt": now + timedelta(minutes=15)}
        reference.update(fields)

    def _document(self, attempt: Attempt) -> DocumentReference | None:
        """Return the attempt's document; None when it now belongs to another message."""
        reference = self._reference(attempt)
        fields = reference.get().to_dict()
        if fields is None or fields["cycleKey"] != attempt.cycle_key:
            return None
        newest = fields.get("attemptLog", [{}])[-1]
        return reference if newest.get("attempt") == attempt.number else None

    def _reference(self, attempt: Attempt) -> DocumentReference:
        campaigns = self._client.collection("users", self.laundromat.cnpj, "campaigns")
        place = campaigns.document(attempt.campaign_type)
        reference: DocumentReference = place.collection("targets").document(attempt.customer_id)
        return reference
