"""One WhatsApp, one Firestore, laundromats with targets, and senders that may be started anew."""

from __future__ import annotations

import asyncio
import itertools
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx2
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    CommitRequest,
)

from loader.dbt.project import find_project
from loader.firestore.aio import AsyncDatabase, encoded_write
from loader.firestore.values import decode_fields
from tests.faults.backends import Call
from tests.faults.documents import OWNER, Documents
from tests.faults.memory import MemoryBackend
from tests.support import AS_OF, NUMERIC_CNPJ
from tests.whatsapp.calls import ACCOUNTS, TOKEN, WABA, creation
from tests.whatsapp.sending.connections import FakeTransport, MemoryChannel
from whatsapp.api import Api
from whatsapp.attempt import Attempter
from whatsapp.desk import Desk
from whatsapp.error_classes import ErrorClass, read_error_classes
from whatsapp.fake.clock import Clock
from whatsapp.fake.config import Accounts, Fault, FaultRule, Settings
from whatsapp.fake.state import FakeState
from whatsapp.prices import Prices, read_prices
from whatsapp.sender import Sender
from whatsapp.store import Store
from whatsapp.tokens import SecretError, Secrets

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tests.faults.backends import Backend
    from whatsapp.fake.ledger import Message
    from whatsapp.report import SendReport
    from whatsapp.sender import SendOwner

__all__ = ["CNPJ", "Owner", "World", "phone_of"]

CNPJ = str(NUMERIC_CNPJ)
ROOT = "projects/test/databases/(default)/documents"
CLASSES = read_error_classes(find_project().root / "seeds" / "whatsapp_error_classes.csv")
PRICES: Prices = read_prices(find_project().root / "seeds" / "whatsapp_prices.csv")
_DEFERRED = frozenset(
    str(code)
    for code, meaning in CLASSES.by_code.items()
    if meaning.error_class is ErrorClass.DEFERRED
)


def phone_of(number: int) -> str:
    return f"+55119900{number:05d}"


class Owner:
    """Holds all leases until a test takes them away."""

    def __init__(self) -> None:
        self.has_lost = False

    def holds(self, _portfolio_id: str) -> bool:
        return not self.has_lost

    async def take(self, portfolio_ids: Iterable[str]) -> set[str]:
        return set() if self.has_lost else set(portfolio_ids)

    async def give_back(self) -> None:
        pass


class World:
    """Everything outside the sender."""

    def __init__(
        self, *, seed: int = 0, backend: Backend | None = None, project: str = "test"
    ) -> None:
        self.root = f"projects/{project}/databases/(default)/documents"
        self.rng = random.Random(seed)
        self.began = AS_OF
        self.state = FakeState(clock=Clock(AS_OF), seed=seed)
        self.state.add_accounts(Accounts.model_validate(ACCOUNTS))
        self.state.settings = Settings(review="APPROVED")
        for waba in (WABA, "3002"):
            self.state.create_template(waba, creation())
        self.backend: Backend = backend or MemoryBackend()
        self.tokens = {"TOKEN_A": TOKEN}
        self.channel = MemoryChannel(self.backend, self.now)
        self.transport = FakeTransport(self.state, self.now)
        self.owner = Owner()
        self._ids = itertools.count(1)

    def now(self) -> datetime:
        """Return the instant, by the loop's clock while one runs."""
        try:
            self._seconds = asyncio.get_running_loop().time()
        except RuntimeError:
            return self.began
        return self.began + timedelta(seconds=self._seconds)

    def pass_time(self, by: timedelta) -> None:
        """Let time pass between two runs."""
        self.began += timedelta(seconds=getattr(self, "_seconds", 0.0)) + by
        self._seconds = 0.0

    # Firestore

    def names(self) -> list[str]:
        """Return the names of all documents of the Firestore in memory."""
        assert isinstance(self.backend, MemoryBackend)
        return self.backend.names()

    def laundromat(self, cnpj: str = CNPJ, **changes: Any) -> None:
        account = {
            "phoneNumberId": "5001",
            "wabaId": WABA,
            "portfolioId": "1001",
            "tokenSecret": "TOKEN_A",
            "enabled": True,
        } | changes
        kept = {key: value for key, value in account.items() if value is not None}
        self.put(f"users/{cnpj}", {"active": True, "name": "Teste", "whatsapp": kept})

    def target(
        self,
        customer_id: str = "c1",
        *,
        cnpj: str = CNPJ,
        campaign_type: str = "BIRTHDAY",
        phone: str = phone_of(1),
        template: str = "vmhub_test_v1",
        **changes: Any,
    ) -> str:
        path = f"users/{cnpj}/campaigns/{campaign_type}/targets/{customer_id}"
        parameters = [
            {"parameter_name": "first_name", "text": "Ana"},
            {"parameter_name": "visit_count", "text": "10"},
        ]
        payload = {"name": template, "language": "pt_BR", "parameters": parameters}
        fields = {
            "cnpj": cnpj,
            "campaignType": campaign_type,
            "customerId": customer_id,
            "name": "Ana",
            "phone": phone,
            "data": {"message": "Oi", "template": payload},
            "status": "PENDING",
            "attempts": 0,
            "cycleKey": "2026",
            "cycleStart": self.began - timedelta(days=300),
            "createdAt": self.now(),
            "updatedAt": self.now(),
            "expiresAt": self.now() + timedelta(hours=10),
        } | changes
        self.put(path, fields)
        return path

    def suppress(self, phone: str, *, cnpj: str = CNPJ, **changes: Any) -> None:
        from loader.base.persons import same_person  # noqa: PLC0415

        fields = {
            "keys": [f"phone:{same_person(phone)}"],
            "phone": phone,
            "optedOutAt": self.now(),
            "updatedAt": self.now(),
        } | changes
        self.put(f"users/{cnpj}/suppressions/s{next(self._ids)}", fields)

    def put(self, path: str, fields: dict[str, Any]) -> None:
        request = CommitRequest(database=self.root.removesuffix("/documents"))
        write = CommitRequest.pb(request).writes.add()
        write.MergeFromString(encoded_write(f"{self.root}/{path}", fields))
        list(self.backend.answer(Call("Commit", CommitRequest.serialize(request), OWNER)))

    def get(self, path: str) -> dict[str, Any]:
        request = BatchGetDocumentsRequest(
            database=self.root.removesuffix("/documents"), documents=[f"{self.root}/{path}"]
        )
        raw = BatchGetDocumentsRequest.serialize(request)
        (reply,) = self.backend.answer(Call("BatchGetDocuments", raw, OWNER))
        response = BatchGetDocumentsResponse.pb().FromString(reply)
        return decode_fields(response.found.fields)

    def sends(self, cnpj: str = CNPJ) -> list[dict[str, Any]]:
        project = self.root.split("/")[1]
        return [found.fields for found in Documents(self.backend, project, cnpj).sends()]

    # WhatsApp

    def rule(self, kind: str, code: int | None = None, **conditions: Any) -> None:
        fault = Fault.model_validate({"kind": kind, "code": code})
        self.state.faults.add(FaultRule.model_validate({"fault": fault, **conditions}))

    @property
    def accepted(self) -> tuple[Message, ...]:
        return self.state.ledger.messages

    # The sender

    async def sender(
        self,
        *,
        cnpj: str | None = None,
        channel: MemoryChannel | None = None,
        transport: FakeTransport | None = None,
        owner: SendOwner | None = None,
        most_under_way: int = 256,
    ) -> Sender:
        """Return a new sender, as a new process would have it."""
        loop = asyncio.get_running_loop()
        owner = owner or self.owner
        database = AsyncDatabase(self.root, channel or self.channel, (), "Firestore")
        store = Store(database, rng=self.rng)
        transport = transport or self.transport
        client = httpx2.AsyncClient(transport=transport, base_url="http://fake/v24.0")
        api = Api(client, CLASSES)

        async def read(name: str) -> str:
            if name not in self.tokens:
                message = f"{name} is not set"
                raise SecretError(message)
            return self.tokens[name]

        attempter = Attempter(
            store,
            api,
            now=self.now,
            sleep=asyncio.sleep,
            rng=self.rng,
            new_id=lambda: f"a{next(self._ids)}",
            phone_secret=b"secret",
            deferred_codes=_DEFERRED,
        )
        secrets = Secrets(clock=loop.time, read=read)
        desk = Desk(store, api, secrets, owner, now=self.now, prices=PRICES, seed={})
        return Sender(
            store,
            attempter,
            desk,
            owner,
            now=self.now,
            cnpj=cnpj,
            most_under_way=most_under_way,
        )

    async def once(self) -> SendReport:
        """Send what may be sent now, with a new sender."""
        return await (await self.sender()).run(once=True)
