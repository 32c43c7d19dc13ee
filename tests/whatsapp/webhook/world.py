"""One webhook over Firestore in memory, with the fake WhatsApp of the sender's tests beside it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx2

from loader.base.persons import phone_key
from loader.firestore.aio import AsyncDatabase
from tests.whatsapp.calls import NUMBER, WABA
from tests.whatsapp.sending.connections import MemoryChannel
from tests.whatsapp.sending.world import CLASSES, CNPJ, World, phone_of
from whatsapp.api import Api
from whatsapp.fake.payloads import sign
from whatsapp.tokens import SecretError, Secrets
from whatsapp.webhook.process import SecretNames, Service
from whatsapp.webhook.records import WebhookLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from tests.faults.backends import Backend
    from whatsapp.webhook.app import Bounds

__all__ = ["SECRET", "Hooked", "body", "inbound", "status"]

SECRET = "app-secret"
PHONE_SECRET = b"secret"


def body(
    *,
    statuses: list[dict[str, Any]] | None = None,
    messages: list[dict[str, Any]] | None = None,
    preferences: list[dict[str, Any]] | None = None,
    number: str = NUMBER,
) -> dict[str, Any]:
    """Return one POST about one number."""
    lists = {"statuses": statuses, "messages": messages, "user_preferences": preferences}
    told = {name: items for name, items in lists.items() if items is not None}
    value = {"metadata": {"phone_number_id": number}, **told}
    return whole({"field": "messages", "value": value})


def whole(*changes: dict[str, Any], at: int = 1_795_000_000) -> dict[str, Any]:
    """Return one POST with these changes of one account."""
    entry = {"id": WABA, "time": at, "changes": list(changes)}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def status(
    said: str,
    at: datetime,
    *,
    attempt: str | None = "a1",
    message_id: str = "wamid.1",
    cnpj: str = CNPJ,
    code: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a status."""
    told: dict[str, Any] = {"id": message_id, "status": said, "timestamp": _seconds(at)} | more
    if attempt is not None:
        told["biz_opaque_callback_data"] = f"v1.{cnpj}.{attempt}"
    if code is not None:
        told["errors"] = [{"code": code, "title": "t"}]
    return told


def inbound(
    text: str, at: datetime, *, sender: str = phone_of(1), message_id: str = "in.1", **more: Any
) -> dict[str, Any]:
    """Return what somebody wrote."""
    return {
        "id": message_id,
        "timestamp": _seconds(at),
        "from": sender.removeprefix("+"),
        "type": "text",
        "text": {"body": text},
    } | more


def _seconds(at: datetime) -> str:
    return str(int(at.timestamp()))


class Hooked(World):
    """The sender's world, with a webhook."""

    def __init__(
        self, *, seed: int = 0, backend: Backend | None = None, project: str = "test"
    ) -> None:
        super().__init__(seed=seed, backend=backend, project=project)
        self.app_secrets = {"ONE": SECRET, "VERIFY": "verify-token"}
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.hook_channel = MemoryChannel(self.backend, self.now)

    def sent(
        self,
        attempt_id: str = "a1",
        *,
        customer_id: str = "c1",
        number: int = 1,
        cnpj: str = CNPJ,
        attempt: int = 1,
        **changes: Any,
    ) -> None:
        """Put the document of an attempt, as the claim leaves it."""
        fields = {
            "campaignType": "BIRTHDAY",
            "customerId": customer_id,
            "cycleKey": "2026",
            "attempt": attempt,
            "phoneKey": phone_key(PHONE_SECRET, phone_of(number)),
            "portfolioId": "1001",
            "at": self.began,
            "status": "SENDING",
            "updatedAt": self.began,
        } | changes
        self.put(f"users/{cnpj}/sends/{attempt_id}", fields)

    def under_way(self, attempt_id: str = "a1", *, customer_id: str = "c1", **changes: Any) -> str:
        """Put a target with an open attempt, and the attempt."""
        self.sent(attempt_id, customer_id=customer_id)
        entry = {"attempt": 1, "attemptId": attempt_id, "at": self.began, "status": "SENDING"}
        claimed = self.began + timedelta(minutes=5)
        return self.target(customer_id, attemptLog=[entry], claimedUntil=claimed, **changes)

    def send(self, attempt_id: str = "a1", *, cnpj: str = CNPJ) -> dict[str, Any]:
        return self.get(f"users/{cnpj}/sends/{attempt_id}")

    def all_below(self, path: str) -> dict[str, dict[str, Any]]:
        """Return the documents of a collection, by id."""
        prefix = f"{self.root}/{path}/"
        return {
            name.removeprefix(prefix): self.get(name.removeprefix(f"{self.root}/"))
            for name in self.names()
            if name.startswith(prefix)
        }

    def suppressions(self, cnpj: str = CNPJ) -> list[dict[str, Any]]:
        return list(self.all_below(f"users/{cnpj}/suppressions").values())

    async def service(
        self, *, names: tuple[str, ...] = ("ONE",), bounds: Bounds | None = None
    ) -> Service:
        """Return a new webhook, as a new process would have it."""
        loop = asyncio.get_running_loop()

        async def read(name: str) -> str:
            known = self.app_secrets | self.tokens
            if name not in known:
                message = f"{name} is not set"
                raise SecretError(message)
            return known[name]

        log = WebhookLog(None, now=self.now)
        client = httpx2.AsyncClient(transport=self.transport, base_url="http://fake/v24.0")
        return Service.made(
            AsyncDatabase(self.root, self.hook_channel, (), "Firestore"),
            Api(client, CLASSES),
            Secrets(clock=loop.time, read=read),
            names=SecretNames(names, "VERIFY"),
            classes=CLASSES,
            phone_secret=PHONE_SECRET,
            log=log,
            now=self.now,
            seconds=loop.time,
            bounds=bounds,
        )

    @asynccontextmanager
    async def http(self, service: Service) -> AsyncIterator[httpx2.AsyncClient]:
        """Return a client of the webhook."""
        transport = httpx2.ASGITransport(app=service.app.starlette())
        async with httpx2.AsyncClient(transport=transport, base_url="http://hook") as client:
            yield client

    async def posted(
        self, service: Service, *bodies: Any, secret: str = SECRET, rest: bool = True
    ) -> list[int]:
        """Post bodies one after the other, signed, and return the statuses of the answers."""
        found = []
        async with self.http(service) as client:
            for one in bodies:
                raw = one if isinstance(one, bytes) else json.dumps(one).encode()
                headers = {"X-Hub-Signature-256": sign(raw, secret)}
                answer = await client.post("/webhook", content=raw, headers=headers)
                found.append(answer.status_code)
        if rest:
            await service.confirmations.drain(60)
        return found
