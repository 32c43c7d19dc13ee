"""Any order, repetition and batching of a history's webhooks: the same documents and rows."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.base.retry import Retry
from loader.firestore.changes import ChangeReader
from loader.firestore.client import Database
from loader.firestore.registry import RegistryEntry
from loader.messages import OVERLAP
from loader.receipts import merged
from loader.track.news import own_news
from tests.faults.steps import SteppedChannel
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, NUMERIC_CNPJ
from tests.whatsapp.calls import NUMBER, OTHER_NUMBER, WABA
from tests.whatsapp.sending.connections import rpc_error
from tests.whatsapp.sending.virtual_time import run_in_virtual_time
from tests.whatsapp.sending.world import CNPJ, ROOT, phone_of
from tests.whatsapp.webhook.world import Hooked, inbound, status

if TYPE_CHECKING:
    from datetime import datetime

    from loader.messages import HistoryRow
    from loader.wishes import OptOutRow

OTHER = str(ALPHANUMERIC_CNPJ)
CODES = (131000, 131026, 131049, 131050, 131042, 132015, 131048, 190)
FATES = (
    (),
    ("sent",),
    ("sent", "delivered"),
    ("sent", "delivered", "read"),
    ("read",),
    ("failed",),
    ("sent", "failed"),
    ("sent", "failed", "delivered"),
    ("failed", "read"),
)

Item = tuple[str, str, dict[str, Any]]
"""Number, list of the value, and what is told."""


class History:
    """What became of some messages, and what people said to it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.items: list[Item] = []
        self.answered: set[int] = set()
        self.world = Hooked()
        self.world.laundromat()
        # On a number of its own, or on the same one.
        self.numbers = {CNPJ: NUMBER, OTHER: self.rng.choice((NUMBER, OTHER_NUMBER))}
        waba = WABA if self.numbers[OTHER] == NUMBER else "3002"
        self.world.laundromat(OTHER, phoneNumberId=self.numbers[OTHER], wabaId=waba)
        for index in range(self.rng.randint(1, 3)):
            self._message(index, self.rng.choice((CNPJ, OTHER)))
        for index in range(self.rng.randint(0, 3)):
            self._word(index)

    def _at(self) -> Any:
        return self.world.began + timedelta(minutes=self.rng.randint(0, 240))

    def _message(self, index: int, cnpj: str) -> None:
        attempt_id, customer_id = f"a{index}", f"c{index}"
        # Marketing messages may lack callback data; then the message id must be known, or is later.
        has_data = self.rng.random() < 0.7
        is_answered = not has_data or self.rng.random() < 0.5
        if is_answered:
            self.answered.add(index)
        known: dict[str, Any] = (
            {} if not is_answered else {"messageId": f"wamid.{index}", "status": "SENT"}
        )
        sending = {"attempt": 1, "attemptId": attempt_id, "at": self.world.began}
        log = [sending | {"status": "SENDING"}]
        self.world.sent(attempt_id, customer_id=customer_id, cnpj=cnpj, number=index, **known)
        if self.rng.random() < 0.3:
            log.insert(0, self._failed_before(index, cnpj))
            log[-1]["attempt"] = 2
            self.world.sent(
                attempt_id, customer_id=customer_id, cnpj=cnpj, number=index, attempt=2, **known
            )
        if self.rng.random() < 0.8:
            self.world.target(customer_id, cnpj=cnpj, phone=phone_of(index), attemptLog=log)
        code = self.rng.choice(CODES)
        for said in self.rng.choice(FATES):
            told = status(
                said,
                self._at(),
                attempt=attempt_id if has_data else None,
                cnpj=cnpj,
                message_id=f"wamid.{index}",
                code=code if said == "failed" else None,
                recipient_id=phone_of(index).removeprefix("+"),
            )
            if said in {"sent", "delivered"}:
                told["pricing"] = {"billable": said == "delivered", "category": "marketing"}
            self.items.append((self.numbers[cnpj], "statuses", told))

    def _failed_before(self, index: int, cnpj: str) -> dict[str, Any]:
        """Let an earlier attempt have failed; it may arrive after all. Return its entry."""
        attempt_id, customer_id, message_id = f"b{index}", f"c{index}", f"wamid.b{index}"
        error = {"code": "131042", "message": "m", "recoverable": True}
        failed: dict[str, Any] = {"status": "FAILED", "messageId": message_id, "error": error}
        self.world.sent(attempt_id, customer_id=customer_id, cnpj=cnpj, number=index, **failed)
        for said in self.rng.choice(((), ("failed",), ("delivered",), ("delivered", "read"))):
            told = status(
                said,
                self._at(),
                attempt=attempt_id,
                cnpj=cnpj,
                message_id=message_id,
                code=131042 if said == "failed" else None,
            )
            self.items.append((self.numbers[cnpj], "statuses", told))
        return {"attempt": 1, "attemptId": attempt_id, "at": self.world.began} | failed

    def _word(self, index: int) -> None:
        number = self.rng.choice(tuple(self.numbers.values()))
        person = self.rng.randint(0, 2)
        sender, at = phone_of(person), self._at()
        kind = self.rng.choice(("text", "sair", "stop", "resume"))
        if kind in {"stop", "resume"}:
            told = {
                "wa_id": sender.removeprefix("+"),
                "category": "marketing_messages",
                "value": kind,
                "timestamp": int(at.timestamp()),
            }
            self.items.append((number, "user_preferences", told))
            return
        told = inbound(
            "sair" if kind == "sair" else "obrigado", at, sender=sender, message_id=f"in.{index}"
        )
        if person in self.answered and self.rng.random() < 0.5:
            # People quote what stands in their own chat, and its id is known from the answer.
            told["context"] = {"id": f"wamid.{person}"}
        self.items.append((number, "messages", told))

    def bodies(self, order: random.Random) -> list[dict[str, Any]]:
        """Return the POSTs of one way: shuffled, repeated, batched over numbers."""
        items = [item for item in self.items for _ in range(order.choice((1, 1, 2, 3)))]
        order.shuffle(items)
        posts = []
        while items:
            size = order.randint(1, 4)
            posts.append([_change(*item) for item in items[:size]])
            items = items[size:]
        return [{"entry": [{"id": WABA, "time": 1, "changes": changes}]} for changes in posts]


def _change(number: str, name: str, told: dict[str, Any]) -> dict[str, Any]:
    value = {"metadata": {"phone_number_id": number}, name: [told]}
    return {"field": "messages", "value": value}


class Tables:
    """What tracking makes of the documents: message_history and opt_outs of both laundromats."""

    def __init__(self, world: Hooked) -> None:
        channel: Any = SteppedChannel(world.backend, lambda _what, _moment: None)
        database = Database(None, ROOT, channel, (), "Firestore")  # type: ignore[arg-type]
        self._reader = ChangeReader(database, Retry(patience_seconds=0))
        self._until: datetime | None = None
        self.rows: dict[Any, HistoryRow] = {}
        self.wishes: dict[tuple[str, str], OptOutRow] = {}

    def track(self, as_of: datetime) -> None:
        """Do what `vmhub track` does; the rules are those of its MERGEs."""
        since = self._until - OVERLAP if self._until else None
        for cnpj in (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ):
            entry = RegistryEntry(cnpj, "", None, campaign_types=frozenset({"BIRTHDAY"}))
            news = own_news(self._reader, entry, as_of, since=since)
            for key, row in news.rows.items():
                place = (cnpj, *key)
                known = self.rows.get(place)
                self.rows[place] = row if known is None else merged(known, row)
            for event_id, wish in news.wishes.items():
                self.wishes[cnpj, event_id] = wish
        self._until = as_of

    def comparable(self) -> dict[str, Any]:
        """Return all rows; when the last news came depends on the way."""
        rows = {place: replace(row, updated_at=AS_OF) for place, row in self.rows.items()}
        return {"message_history": rows, "opt_outs": self.wishes}


def ended(
    seed: int, way: int, *, fails: bool = False, ahead: timedelta = timedelta()
) -> dict[str, dict[str, Any]]:
    """Return all documents and rows after one way; without the instants of the writes themselves.

    Tracking runs now and then in between, and at the end.

    Args:
        seed: The history.
        way: The order, repetition and batching.
        fails: Firestore fails now and then.
        ahead: By how much the webhook's clock is ahead of WhatsApp's.

    """
    history = History(seed)
    history.world.began += ahead
    world, order = history.world, random.Random(way)
    tables, hours = Tables(world), random.Random(f"tracking {way}")

    async def fail(_what: str, _moment: str) -> None:
        if order.random() < 0.15:
            raise rpc_error(grpc.StatusCode.UNAVAILABLE)

    async def play() -> None:
        service = await world.service()
        for one in history.bodies(order):
            # As WhatsApp does: again, until 200.
            for tries in range(200):
                world.hook_channel.hook = fail if fails and tries < 190 else _nothing
                (answer,) = await world.posted(service, one, rest=False)
                if answer == 200:
                    break
            assert answer == 200
            if hours.random() < 0.4:
                await asyncio.sleep(hours.choice((60, 3600)))
                tables.track(world.now())
        world.hook_channel.hook = _nothing
        await service.confirmations.drain(600)
        for _ in range(4):
            world.pass_time(timedelta(hours=1))
            await service.try_again()

    run_in_virtual_time(play())
    world.pass_time(timedelta(hours=1))
    tables.track(world.now())
    return _documents(world) | tables.comparable()


def _documents(world: Hooked) -> dict[str, dict[str, Any]]:
    """Return what must be the same.

    Which of several opt-outs was confirmed need not be, nor what the sender was told of a failure:
    that is a hint to wait, and is given at most twice a minute.
    """
    paths = [name.removeprefix(f"{ROOT}/") for name in world.names()]
    others = ("/confirmations/", "/news/failure")
    found = {path: world.get(path) for path in paths if not any(other in path for other in others)}
    for path, fields in found.items():
        stray = ("parkedAt", "nextTryAt", "expiresAt") if path.startswith("unmatched/") else ()
        # Receipts of an earlier attempt reach the target only if the newest is not under way.
        of_others = ("deliveredAt", "readAt") if len(fields.get("attemptLog", ())) > 1 else ()
        for own in ("updatedAt", *stray, *of_others):
            fields.pop(own, None)
    return found


async def _nothing(_what: str, _moment: str) -> None:
    pass


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), way=st.integers(1, 2**32))
def test_any_order_repetition_and_batching_ends_in_the_same_documents_and_rows(
    seed: int, way: int
) -> None:
    assert ended(seed, way) == ended(seed, 0)


@pytest.mark.parametrize("seed", range(12))
def test_so_does_any_way_with_a_firestore_that_fails_before_and_after_commits(seed: int) -> None:
    assert ended(seed, seed + 1, fails=True) == ended(seed, 0)


@pytest.mark.parametrize("minutes", [-30, 30])
@pytest.mark.parametrize("seed", range(6))
def test_so_does_a_webhook_whose_clock_is_apart_from_whatsapps(seed: int, minutes: int) -> None:
    assert ended(seed, 0, ahead=timedelta(minutes=minutes)) == ended(seed, 0)
