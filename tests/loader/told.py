"""One customer's cycle as its documents were written: for tests of what they say together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from loader.messages import TrackedDocument
from loader.receipts import SendDocument

if TYPE_CHECKING:
    import random

__all__ = ["AT", "LATER", "MINUTE", "PRICING", "History", "Told", "send"]

CNPJ = "11222333000181"
AT = datetime(2026, 11, 23, 13, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LATER = AT + timedelta(days=9)
PRICING = {"category": "marketing_lite", "type": "regular", "billable": True, "model": "PMP"}

Told = TrackedDocument | SendDocument


def send(**fields: Any) -> SendDocument:
    content = {
        "campaignType": "REACTIVATION",
        "customerId": "a",
        "cycleKey": "2026-11",
        "attempt": 1,
        "phoneKey": "0123",
        "portfolioId": "1001",
        "at": AT,
        "status": "SENT",
        "messageId": "m1",
        "updatedAt": AT + MINUTE,
        **fields,
    }
    return SendDocument(CNPJ, "attempt-1", AT + MINUTE, content)


class History:
    """The documents of one customer's cycle as they were written, one after another."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = AT
        self.told: list[Told] = []
        self._log: list[dict[str, Any]] = []
        self._target: dict[str, Any] = {
            "cycleKey": "2026-11",
            "phone": "+5511900000001",
            "data": {"message": "Olá!", "template_variant": "STAGE_1", "voucher_code": "V1"},
            "createdAt": AT,
            "status": "PENDING",
            "attempts": 0,
        }
        for number in range(1, rng.choice((1, 1, 2, 3)) + 1):
            if not self._attempt(number):
                break

    def _attempt(self, number: int) -> bool:
        """Play an attempt and what becomes of it; return whether another may follow."""
        at = self._pass()
        entry = {"attempt": number, "attemptId": f"a{number}", "at": at, "status": "SENDING"}
        self._log.append(entry)
        of_send = send(attempt=number, at=at, status="SENDING", messageId=None).fields
        self._write_target({})
        self._write_send(of_send, {})
        if self.rng.random() < 0.2:
            self._write_send(of_send, {"status": "UNKNOWN"})
        error = {"code": "131026", "recoverable": True}
        if self.rng.random() < 0.4:
            self._log[-1] = {**entry, "status": "FAILED", "error": error}
            self._write_target({"status": "FAILED", "attempts": number, "lastError": error})
            self._write_send(of_send, {"status": "FAILED", "error": error})
            if self.rng.random() < 0.3:
                # The receipt that comes although the message was reported as failed.
                self._write_send(of_send, {"deliveredAt": self._pass(), "pricing": PRICING})
            self._write_target({"status": "PENDING"})
            return True
        message_id = f"m{number}"
        self._log[-1] = {**entry, "status": "SENT", "messageId": message_id}
        sent = {"status": "SENT", "attempts": number, "messageId": message_id, "lastError": None}
        self._write_target(sent)
        self._write_send(of_send, {"status": "SENT", "messageId": message_id, "userId": "BR.1"})
        for name, status in (("deliveredAt", "DELIVERED"), ("readAt", "READ"), ("repliedAt", "")):
            if self.rng.random() < 0.6:
                at = self._pass()
                self._write_send(
                    of_send, {name: at, "pricing": PRICING, "status": status or "SENT"}
                )
                if self.rng.random() < 0.5:
                    # The next cycle may have replaced the target by now.
                    self._write_target({name: at})
        return False

    def _pass(self) -> datetime:
        self.now += timedelta(seconds=self.rng.randrange(1, 90_000))
        return self.now

    def _write_target(self, changes: dict[str, Any]) -> None:
        self._target |= {**changes, "attemptLog": list(self._log), "updatedAt": self._pass()}
        fields = {key: value for key, value in self._target.items() if value is not None}
        self.told.append(TrackedDocument(CNPJ, "REACTIVATION", "a", self.now, fields))

    def _write_send(self, of_send: dict[str, Any], changes: dict[str, Any]) -> None:
        of_send |= {**changes, "updatedAt": self._pass()}
        self.told.append(SendDocument(CNPJ, f"a{of_send['attempt']}", self.now, dict(of_send)))
