"""The month's WhatsApp: the fake Cloud API, its webhooks, people who write, and our two programs.

The sender and the webhook are the real ones, with a Firestore emulator behind them, on the month's
clock: whatever waits takes no time. What WhatsApp itself knows is kept here, and the figures are
compared with it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import httpx2
import orjson

from loader.firestore.aio import AsyncDatabase
from tests.faults.backends import EmulatorBackend
from tests.month.fates import FatefulTransport, hook_settings
from tests.month.hearing import (
    STOP_WORDS,
    USER_ID,
    HeardStatus,
    HeardWords,
    heard_status,
    heard_words,
)
from tests.whatsapp.sending.connections import MemoryChannel
from tests.whatsapp.sending.virtual_time import run_in_virtual_time
from tests.whatsapp.sending.world import Owner
from whatsapp.api import Api
from whatsapp.attempt import Attempter
from whatsapp.desk import Desk
from whatsapp.error_classes import ErrorClass
from whatsapp.fake.clock import Clock
from whatsapp.fake.config import Accounts, Recipient, Settings
from whatsapp.fake.events import webhook_event
from whatsapp.fake.phones import same_person
from whatsapp.fake.state import FakeState
from whatsapp.fake.telling import happen
from whatsapp.prices import read_prices
from whatsapp.process import Seeds
from whatsapp.sender import Sender
from whatsapp.store import Store
from whatsapp.templates import creation, read_seed_templates
from whatsapp.tokens import Secrets
from whatsapp.webhook.process import SecretNames, Service
from whatsapp.webhook.records import WebhookLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.services import Services
    from whatsapp.fake.ledger import Message

__all__ = ["ACCOUNTS", "WhatsAppNetwork"]

_SECRETS = {"TOKEN": "token-of-the-month", "APP_SECRET": "app-secret", "VERIFY": "verify-token"}
_PHONE_SECRET = b"secret-of-the-month"
# The first two laundromats share a number, and with it their people's opt-outs.
_NUMBERS = {"5001": "3001", "5002": "3002"}
ACCOUNTS = tuple(
    {
        "phoneNumberId": number,
        "wabaId": waba,
        "portfolioId": portfolio,
        "tokenSecret": "TOKEN",
        "enabled": True,
    }
    for number, waba, portfolio in (
        ("5001", "3001", "1001"),
        ("5001", "3001", "1001"),
        ("5002", "3002", "1002"),
    )
)
"""What each laundromat sends with: users/{cnpj}.whatsapp."""


class WhatsAppNetwork:
    """Everything between our two programs and people's phones."""

    def __init__(self, services: Services, begin: datetime) -> None:
        self._services = services
        self._seeds = Seeds(services.project.root / "seeds")
        self._root = f"projects/{services.environment.project}/databases/(default)/documents"
        self._backend = EmulatorBackend(services.environment.firestore_host or "")
        self._began = begin
        self.state = FakeState(clock=Clock(begin))
        self.transport = FatefulTransport(self.state, self.now)
        self.transport.on_accepted = self._plan
        self.heard: dict[str, list[HeardStatus]] = defaultdict(list)
        """By message id."""
        self.words: dict[str, tuple[HeardWords, datetime]] = {}
        """By message id, each with the instant from which on it is known."""
        self.answers: Counter[int] = Counter()
        """Of our webhook, by status."""
        self._plans: list[tuple[datetime, int, Message, str]] = []
        self._order = itertools.count()
        self._ids = itertools.count(1)
        self._set_up()

    def close(self) -> None:
        self._backend.close()

    def now(self) -> datetime:
        try:
            return self._began + timedelta(seconds=asyncio.get_running_loop().time())
        except RuntimeError:
            return self._began

    def add_person(self, phone: str, *, loses_ninth_digit: bool, hides_phone: bool) -> None:
        """Say what is special about somebody; ``phone`` has digits only."""
        person = Recipient(
            phone=phone,
            user_id=f"{USER_ID}{same_person(phone)}" if hides_phone else None,
            hides_phone=hides_phone,
            loses_ninth_digit=loses_ninth_digit,
        )
        self.state.set_recipient(person)

    def act(self, at: datetime, cnpjs: Sequence[str | None], *, is_deaf: bool = False) -> None:
        """Play what is due at an instant: webhooks, then a sender, then webhooks again.

        Args:
            at: The instant.
            cnpjs: For whom something is sent, one sender after the other; None: for all.
            is_deaf: Our webhook is down; WhatsApp will come again.

        """
        self._began = at
        run_in_virtual_time(self._act(cnpjs, is_deaf=is_deaf))

    async def _act(self, cnpjs: Sequence[str | None], *, is_deaf: bool) -> None:
        hook = _Hook(self, is_deaf=is_deaf)
        await self._tell(hook)
        for cnpj in cnpjs:
            await self._send(cnpj)
        await self._tell(hook)
        await hook.end()

    # Our programs

    def _database(self) -> AsyncDatabase:
        return AsyncDatabase(self._root, MemoryChannel(self._backend, self.now), (), "Firestore")

    def _api(self) -> Api:
        client = httpx2.AsyncClient(transport=self.transport, base_url="http://fake/v24.0")
        return Api(client, self._seeds.error_classes)

    async def _send(self, cnpj: str | None) -> None:
        """Send once, as a new process would."""
        store, api, owner = Store(self._database()), self._api(), Owner()
        by_code = self._seeds.error_classes.by_code
        deferred = {
            str(code)
            for code, meaning in by_code.items()
            if meaning.error_class is ErrorClass.DEFERRED
        }
        attempter = Attempter(
            store,
            api,
            now=self.now,
            sleep=asyncio.sleep,
            rng=random.Random(next(self._ids)),
            new_id=lambda: f"a{next(self._ids)}",
            phone_secret=_PHONE_SECRET,
            deferred_codes=frozenset(deferred),
        )
        desk = Desk(
            store,
            api,
            _secrets(),
            owner,
            now=self.now,
            prices=read_prices(self._seeds.prices),
            seed=read_seed_templates(self._seeds.templates),
        )
        report = await Sender(store, attempter, desk, owner, now=self.now, cnpj=cnpj).run(once=True)
        assert not report.errors
        assert not report.broken

    def service(self) -> Service:
        """Return a new webhook, as a new process would have it."""
        return Service.made(
            self._database(),
            self._api(),
            _secrets(),
            names=SecretNames(("APP_SECRET",), "VERIFY"),
            classes=self._seeds.error_classes,
            phone_secret=_PHONE_SECRET,
            log=WebhookLog(None, now=self.now),
            now=self.now,
            seconds=asyncio.get_running_loop().time,
        )

    # What WhatsApp and people do

    async def _tell(self, hook: _Hook) -> None:
        now = self.now()
        while self._plans and self._plans[0][0] <= now:
            at, _, message, text = heapq.heappop(self._plans)
            self._write(at, message, text)
        self.state.clock.set(now)
        async with httpx2.AsyncClient(transport=hook) as client:
            await self.state.webhooks.deliver_due(client, hook_settings())

    def _plan(self, message: Message, rng: random.Random) -> None:
        """Let the person who reads a message answer it, or want no more, now and then."""
        read = next((event for event in message.events if event.status == "read"), None)
        if read is None:
            return
        chance = rng.random()
        if chance < 0.25:
            self._later(read.at + timedelta(minutes=9), message, "Obrigada!")
        if 0.2 < chance < 0.4:
            text = STOP_WORDS[rng.random() < 0.3]
            self._later(read.at + timedelta(minutes=rng.randrange(1, 20)), message, text)

    def _later(self, at: datetime, message: Message, text: str) -> None:
        heapq.heappush(self._plans, (at, next(self._order), message, text))

    def _write(self, at: datetime, message: Message, text: str) -> None:
        """Let a person write about a message.

        They quote it when it is not the last one that they got. Only what the sender knows the id
        of is quoted: who gets the answer is then certain. Who hides the number always quotes.
        """
        data = message.callback_data or ""
        is_known = self.transport.postings[data][-1].message_id == message.id
        hides_phone = self.state.recipient(message.to).hides_phone
        if hides_phone and not is_known:
            return
        written = [
            (postings[-1].at, other)
            for other, postings in self.transport.postings.items()
            if same_person(postings[-1].to.removeprefix("+")) == same_person(message.to)
            and postings[-1].number_id == message.number_id
        ]
        is_last = max(written)[1] == data
        quotes = is_known and (hides_phone or not is_last or len(written) % 2 == 0)
        said = {"number_id": message.number_id, "sender": message.to, "text": text}
        if text == STOP_WORDS[1] and is_known:
            said |= {"kind": "button", "context_id": message.id}
        elif quotes:
            said |= {"kind": "reply", "context_id": message.id}
        else:
            said |= {"kind": "reply"}
        self.state.clock.set(at)
        # WhatsApp loses receipts; it does not lose what people write.
        self.state.settings = Settings(review="APPROVED", webhooks=hook_settings())
        happen(self.state, webhook_event.validate_python(said))

    def note(self, raw: bytes) -> None:
        """Write down what our webhook has taken."""
        for entry in orjson.loads(raw)["entry"]:
            for change in entry["changes"]:
                value = change["value"]
                for said in value.get("statuses", ()):
                    self.heard[said["id"]].append(heard_status(said, self.now()))
                for said in value.get("messages", ()):
                    words = heard_words(said, value["metadata"]["phone_number_id"])
                    self.words.setdefault(said["id"], (words, self.now()))

    def _set_up(self) -> None:
        accounts = {
            "portfolios": [{"id": key, "people_in_24_hours": 2000} for key in ("1001", "1002")],
            "wabas": [{"id": f"300{n}", "portfolio_id": f"100{n}"} for n in (1, 2)],
            "numbers": [
                {"id": number, "waba_id": waba, "display_phone_number": f"55114000{number}"}
                for number, waba in _NUMBERS.items()
            ],
            "tokens": [{"token": _SECRETS["TOKEN"], "waba_ids": ["3001", "3002"]}],
        }
        self.state.add_accounts(Accounts.model_validate(accounts))
        self.state.settings = Settings(review="APPROVED", webhooks=hook_settings())
        for waba in _NUMBERS.values():
            for template in read_seed_templates(self._seeds.templates).values():
                self.state.create_template(waba, creation(template))


class _Hook(httpx2.AsyncBaseTransport):
    """Carries WhatsApp's POSTs to our webhook, which is made when the first one comes."""

    def __init__(self, network: WhatsAppNetwork, *, is_deaf: bool) -> None:
        self._network, self._is_deaf = network, is_deaf
        self._service: Service | None = None
        self._asgi: httpx2.ASGITransport | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._is_deaf:
            message = "nobody is there"
            raise httpx2.ConnectError(message)
        if self._asgi is None:
            self._service = self._network.service()
            self._asgi = httpx2.ASGITransport(app=self._service.app.starlette())
        raw = await request.aread()
        answer = await self._asgi.handle_async_request(request)
        self._network.answers[answer.status_code] += 1
        if answer.status_code == httpx2.codes.OK:
            self._network.note(raw)
        return answer

    async def end(self) -> None:
        """End as the process does."""
        if self._service is None:
            return
        await self._service.try_again()
        await self._service.confirmations.drain(600)
        assert not self._service.applier.counts["rejected"]


def _secrets() -> Secrets:
    async def read(name: str) -> str:
        return _SECRETS[name]

    return Secrets(clock=asyncio.get_running_loop().time, read=read)
