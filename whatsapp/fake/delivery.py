"""Delivery of webhooks: when they are due, what goes wrong with them, and their repetition."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx2

from whatsapp.fake import payloads

if TYPE_CHECKING:
    import random
    from datetime import datetime

    from whatsapp.fake.clock import Clock
    from whatsapp.fake.config import WebhookSettings
    from whatsapp.fake.payloads import Item

__all__ = ["Delivery", "Webhooks"]

_OK = 200
_ANSWER_SECONDS = 10.0
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(hours=1)
_REPEATED_FOR = timedelta(days=7)


@dataclass(frozen=True)
class Delivery:
    """One POST, and its answer."""

    at: datetime
    items: int
    tries: int
    status: int | None
    """None: no answer."""

    def as_json(self) -> dict[str, Any]:
        """Return everything."""
        return {
            "at": self.at.isoformat(),
            "items": self.items,
            "tries": self.tries,
            "status": self.status,
        }


@dataclass
class _Post:
    raw: bytes
    items: int
    first_at: datetime
    tries: int = 0


@dataclass(order=True)
class _Due:
    at: datetime
    order: int
    what: Item | _Post = field(compare=False)


class Webhooks:
    """A queue by the fake's clock; a POST repeats until a 200, for seven days (WA/throughput)."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        """Begin empty."""
        self._clock = clock
        self._rng = rng
        self._queue: list[_Due] = []
        self._order = itertools.count()
        self._in_flight = 0
        self.deliveries: list[Delivery] = []

    @property
    def waiting(self) -> int:
        """Return how many items and repeated POSTs have no answer yet, queued or under way."""
        return len(self._queue) + self._in_flight

    def add(self, item: Item, due: datetime, settings: WebhookSettings) -> None:
        """Queue an item, twice or not at all if the settings say so."""
        if self._rng.randrange(100) < settings.drops_percent:
            return
        copies = 2 if self._rng.randrange(100) < settings.doubles_percent else 1
        for _ in range(copies):
            self._push(due, item)

    async def deliver_due(
        self, client: httpx2.AsyncClient, settings: WebhookSettings
    ) -> list[Delivery]:
        """Post everything that is due, one POST after another."""
        if settings.url is None:
            return []
        posts, items = self._take_due()
        if settings.shuffles:
            self._rng.shuffle(items)
        for start in range(0, len(items), settings.batch_size):
            batch = items[start : start + settings.batch_size]
            raw = payloads.body(batch, without_contacts=settings.without_contacts)
            posts.append(_Post(raw, len(batch), self._clock.now()))
        deliveries = []
        self._in_flight += len(posts)
        for post in posts:
            try:
                deliveries.append(await self._post(client, settings, settings.url, post))
            finally:
                self._in_flight -= 1
        return deliveries

    def _push(self, due: datetime, what: Item | _Post) -> None:
        heapq.heappush(self._queue, _Due(due, next(self._order), what))

    def _take_due(self) -> tuple[list[_Post], list[Item]]:
        posts: list[_Post] = []
        items: list[Item] = []
        now = self._clock.now()
        while self._queue and self._queue[0].at <= now:
            what = heapq.heappop(self._queue).what
            if isinstance(what, _Post):
                posts.append(what)
            else:
                items.append(what)
        return posts, items

    async def _post(
        self, client: httpx2.AsyncClient, settings: WebhookSettings, url: str, post: _Post
    ) -> Delivery:
        headers = {"Content-Type": "application/json"}
        if settings.signature != "missing":
            secret = settings.app_secret if settings.signature == "right" else "another secret"
            headers["X-Hub-Signature-256"] = payloads.sign(post.raw, secret)
        post.tries += 1
        try:
            answer = await client.post(
                url, content=post.raw, headers=headers, timeout=_ANSWER_SECONDS
            )
            status = answer.status_code
        except httpx2.HTTPError:
            status = None
        now = self._clock.now()
        if status != _OK and now - post.first_at < _REPEATED_FOR:
            pause = min(_FIRST_PAUSE * 2 ** min(post.tries - 1, 20), _LONGEST_PAUSE)
            self._push(now + pause, post)
        delivery = Delivery(now, post.items, post.tries, status)
        self.deliveries.append(delivery)
        return delivery
