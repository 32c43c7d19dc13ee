"""The demo's WhatsApp: the real sender and webhook, and the stack's fake of WhatsApp."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx2

from loader.base.errors import ServiceError
from loader.local.demo import Sent
from loader.local.stack import WHATSAPP_ACCOUNT
from whatsapp.process import Seeds, send
from whatsapp.templates import creation, read_seed_templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.base.cnpj import Cnpj
    from loader.local.stack import LocalStack
    from loader.services import Services

__all__ = ["DemoWhatsApp", "prepared_whatsapp"]

# The phones of ipe-008 and ipe-009: the fake fails for them, as often as one attempt is posted.
_FAILING = [
    {"fault": {"kind": "error", "code": 131016}, "to": to, "times": 4}
    for to in ("5511900000008", "5511900000009")
]
_MOST_SECONDS = 60.0
# A refused message is posted again for some 20 seconds: too long for a demo.
_PATIENCE = 0.02


class DemoWhatsApp:
    """Sends, and plays what people do with their phones."""

    def __init__(self, services: Services, client: httpx2.Client) -> None:
        """Use the fake of the stack."""
        self._services, self._client = services, client
        self._seeds = Seeds(services.project.root / "seeds")

    def set_clock(self, at: datetime) -> None:
        """Let the fake's clock run on from an instant."""
        self._call("POST", "clock", {"runs_from": at.isoformat()})

    def send(self, cnpj: Cnpj, at: datetime) -> Sent:
        """Send a laundromat's waiting targets as if it were that instant."""
        began = time.monotonic()
        report, _ = send(
            self._services.environment,
            self._seeds,
            once=True,
            cnpj=cnpj,
            now=lambda: at + timedelta(seconds=time.monotonic() - began),
            patience=_PATIENCE,
        )
        return Sent(cnpj, report.sent, sum(report.failed.values()))

    def told(self) -> None:
        """Wait until the webhook has received and committed all events.

        Raises:
            ServiceError: It does not do so in time.

        """
        self._wait(lambda: self._call("GET", "webhooks")["waiting"] == 0, "hear of everything")

    def writes(self, phone: str, text: str) -> str:
        """Let a person write to the laundromats' number; return the answer that they read.

        Raises:
            ServiceError: There is no answer.

        """
        number = WHATSAPP_ACCOUNT["phoneNumberId"]
        event = {"kind": "reply", "number_id": number, "sender": phone, "text": text}
        self._call("POST", "events", event)
        answers: list[str] = []

        def is_answered() -> bool:
            rows = self._call("GET", f"ledger?to={phone}")["messages"]
            answers.extend(row["text"] for row in rows if row["template"] is None)
            return bool(answers)

        self._wait(is_answered, "answer")
        return answers[-1]

    def _wait(self, is_done: Any, what: str) -> None:
        deadline = time.monotonic() + _MOST_SECONDS
        while not is_done():
            if time.monotonic() > deadline:
                message = f"the webhook does not {what}"
                raise ServiceError(message, hint="its log is webhook.log in the stack's folder")
            time.sleep(0.1)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._client.request(method, f"/_fake/{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None


@contextmanager
def prepared_whatsapp(services: Services, stack: LocalStack) -> Iterator[DemoWhatsApp]:
    """Submit the templates, and let two messages fail."""
    # Put the fake's secrets where the sender looks for secrets.
    os.environ |= stack.variables()
    token = os.environ[str(WHATSAPP_ACCOUNT["tokenSecret"])]
    with httpx2.Client(base_url=stack.whatsapp_url, trust_env=False) as client:
        for template in read_seed_templates(
            services.project.root / "seeds" / "message_templates.csv"
        ).values():
            client.post(
                f"/v24.0/{WHATSAPP_ACCOUNT['wabaId']}/message_templates",
                json=creation(template),
                headers={"Authorization": f"Bearer {token}"},
            ).raise_for_status()
        for rule in _FAILING:
            client.post("/_fake/rules", json=rule).raise_for_status()
        yield DemoWhatsApp(services, client)
