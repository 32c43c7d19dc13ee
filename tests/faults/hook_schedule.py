"""A schedule with the webhook, too: people opt out by writing, and receipts come late and twice.

The fake's POSTs reach a real webhook that dies and whose Firestore fails;
what it answered 200 counts.
"""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc

from loader.base.persons import same_person
from tests.faults.hook_events import HookEvents
from tests.faults.hook_judge import HookJudge
from tests.faults.schedule import Schedule
from tests.whatsapp.sending.connections import rpc_error
from tests.whatsapp.webhook.world import Hooked
from whatsapp.fake import payloads

if TYPE_CHECKING:
    from tests.faults.backends import Backend
    from whatsapp.fake.payloads import Item
    from whatsapp.webhook.process import Service

__all__ = ["HookSchedule"]


class HookSchedule(Schedule):
    """Plays one seed."""

    world_type = Hooked
    events_type = HookEvents
    judge_type = HookJudge
    world: Hooked
    _judge: HookJudge

    def __init__(self, seed: int, backend: Backend | None = None, project: str = "test") -> None:
        super().__init__(seed, backend, project)
        self._hook_rng = random.Random(f"hooks {seed}")
        self._posts: list[list[Item]] = []
        self._service: Service | None = None
        self.world.hook_channel.hook = self._fail_sometimes

    async def play(self) -> None:
        pump = asyncio.create_task(self._pump())
        try:
            await super().play()
        finally:
            pump.cancel()
            await asyncio.wait([pump])
        if not pump.cancelled():
            pump.result()

    # Webhooks on their way

    async def _pump(self) -> None:
        while True:
            is_busy = bool(self._posts or self.world.state.webhooks.waiting)
            pauses = (0.3, 2, 20, 300) if is_busy else (2, 20, 20, 900)
            await asyncio.sleep(self._hook_rng.choice(pauses))
            if is_busy:
                await self._deliver()

    async def _deliver(self) -> None:
        """Post everything that is due, batched and shuffled; what met no 200 comes again."""
        rng, webhooks = self._hook_rng, self.world.state.webhooks
        self.world.state.clock.set(self.world.now())
        _, items = webhooks._take_due()  # noqa: SLF001 - as its own deliveries do
        rng.shuffle(items)
        for item in items:
            for said in item.lists.get("statuses", ()):
                if "biz_opaque_callback_data" in said:
                    self._judge.named.add(said["id"])
        while items:
            size = rng.randint(1, 3)
            self._posts += [items[:size]] * rng.choice((1, 1, 2))
            items = items[size:]
        posts, self._posts = self._posts, []
        for post in posts:
            if self._service is None or rng.random() < 0.1:
                # Another process, which knows nothing.
                self._service = await self.world.service()
            if not await self._is_taken(self._service, post):
                self.seen["a webhook comes again"] += 1
                self._posts.append(post)

    async def _is_taken(self, service: Service, post: list[Item]) -> bool:
        raw = payloads.body(post, without_contacts=self._hook_rng.random() < 0.3)
        (answer,) = await self.world.posted(service, raw, rest=False)
        if answer == 200:
            for item in post:
                for said in item.lists.get("messages", ()):
                    self._is_out(said["from"])
                for said in item.lists.get("statuses", ()):
                    # Without our callback data it may wait until its attempt knows the id.
                    is_named = "biz_opaque_callback_data" in said
                    if is_named and said["status"] in {"delivered", "read"}:
                        self._judge.arrived.setdefault(said["id"], self.world.now())
        return answer == 200

    def _is_out(self, phone: str) -> None:
        # Both laundromats have the number.
        for cnpj in self._cnpjs:
            person = (str(cnpj), same_person(phone))
            self.warehouse.opted_out.setdefault(person, self.world.now())
            self._say(f"{phone} has opted out of {cnpj}")

    async def _fail_sometimes(self, what: str, moment: str) -> None:
        await asyncio.sleep(self._hook_rng.choice((0, 0, 0.001, 0.2)))
        if not self._is_calm and self._hook_rng.random() < 0.06:
            self._say(f"the webhook's {what} fails {moment}")
            raise rpc_error(grpc.StatusCode.UNAVAILABLE)

    # The end

    async def _come_to_rest(self) -> None:
        self._is_calm = True
        await self._drain()
        await super()._come_to_rest()
        await self._drain()
        # An unknown message id is tried again until its attempt knows it.
        await asyncio.sleep(timedelta(hours=7).total_seconds())
        await self._drain()
        await self._until_tomorrow()
        for cnpj in self._cnpjs:
            await self._track(cnpj)

    async def _drain(self) -> None:
        await asyncio.sleep(5000)
        while self._posts or self.world.state.webhooks.waiting:
            await self._deliver()
            await asyncio.sleep(60)
        if self._service is not None:
            # As a process does every ten seconds.
            await self._service.try_again()
            await self._service.confirmations.drain(600)
