"""Senders as processes on one machine with one clock, that die or freeze as a seed says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from tests.whatsapp.sending.connections import FakeTransport, MemoryChannel, rpc_error
from whatsapp.targets import WhyNot

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from tests.whatsapp.sending.world import World

__all__ = ["Leases", "SenderProcess"]

_LASTS, _GOOD, _RENEWED = 45.0, 35.0, 10.0
_CODES = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "INTERNAL")


class Leases:
    """Who sends for which portfolio, as Firestore would have it."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[SenderProcess, float]] = {}

    def take(self, portfolio_id: str, process: SenderProcess) -> bool:
        holder, until = self.held.get(portfolio_id, (process, 0.0))
        if holder is not process and until > _seconds():
            return False
        self.held[portfolio_id] = process, _seconds() + _LASTS
        return True


class SenderProcess:
    """One sender with connections of its own, that may be killed or frozen at any step."""

    def __init__(self, world: World, leases: Leases, rng: random.Random, *, is_calm: bool) -> None:
        self.world, self._leases, self._rng = world, leases, rng
        self.is_calm = is_calm
        self.is_alive = True
        self.frozen_until = 0.0
        self.channel = MemoryChannel(world.backend, world.now)
        self.transport = FakeTransport(world.state, world.now)
        self.channel.hook = self.transport.hook = self._point
        self.on_commit: Callable[[], None] = lambda: None
        self._good_until: dict[str, float] = {}
        self._task: asyncio.Task[Any] | None = None
        self._renewing: asyncio.Task[Any] | None = None
        self._sender: Any = None
        self.trace: list[str] = []

    # The process

    async def start(self) -> None:
        self._sender = await self.world.sender(
            channel=self.channel, transport=self.transport, owner=self
        )
        self._task = asyncio.create_task(self._sender.run(once=False))
        self._renewing = asyncio.create_task(self._renew())

    @property
    def is_running(self) -> bool:
        return self.is_alive and self._task is not None and not self._task.done()

    @property
    def is_frozen(self) -> bool:
        return self.frozen_until > _seconds()

    @property
    def held_back_by_budget(self) -> bool:
        """Whether a target waits for a place in a budget."""
        return bool(self._sender.report.waiting[WhyNot.BUDGET.value])

    def stop(self) -> None:
        self._sender.stop()

    async def ended(self) -> None:
        """Wait for what was told to stop."""
        assert self._task is not None
        if self.is_alive:
            await asyncio.wait([self._task], timeout=600)
            if self._task.done():
                self._raise()

    def kill(self) -> None:
        self.is_alive = False

    def clear(self) -> None:
        """Forget a process; what it was about to do never happens."""
        self.kill()
        assert self._task is not None
        if self._task.done():
            self._raise()
        self._sender.abandon()
        for task in (self._task, self._renewing):
            if task is not None:
                task.add_done_callback(lambda task: task.cancelled() or task.exception())
                task.cancel()

    def _raise(self) -> None:
        assert self._task is not None
        error = self._task.exception()
        if error is not None and "Firestore" not in str(error):
            raise error

    async def _point(self, what: str, moment: str) -> None:
        """Die, freeze, fail or be slow here, or none of it."""
        # The last look and the POST are one: nothing can be between them but the network.
        is_last_look = (what, moment) in {("RunQuery", "after"), ("POST", "before")}
        if not self.is_alive:
            await asyncio.get_running_loop().create_future()
        if self.is_frozen and not is_last_look:
            await asyncio.sleep(self.frozen_until - _seconds())
        if self.is_calm:
            return
        chance = self._rng.random()
        if chance < 0.008:
            self._say(f"killed {moment} {what}")
            self.kill()
            await asyncio.get_running_loop().create_future()
        if is_last_look:
            return
        if chance < 0.016:
            seconds = self._rng.choice((60.0, 400.0, 8 * 3600.0))
            self._say(f"frozen for {seconds:.0f} s {moment} {what}")
            self.frozen_until = _seconds() + seconds
            await asyncio.sleep(seconds)
        elif chance < 0.06 and what != "POST":
            code = grpc.StatusCode[self._rng.choice(_CODES)]
            self._say(f"{code.name} {moment} {what}")
            raise rpc_error(code)
        elif chance < 0.2:
            await asyncio.sleep(self._rng.choice((0.01, 0.5, 3.0)))
        if what == "Commit" and self.is_alive:
            self.on_commit()

    def _say(self, what: str) -> None:
        self.trace.append(f"{_seconds():.2f} {what}")

    # Its leases

    def holds(self, portfolio_id: str) -> bool:
        return _seconds() < self._good_until.get(portfolio_id, 0.0)

    async def take(self, portfolio_ids: Iterable[str]) -> set[str]:
        for portfolio_id in portfolio_ids:
            if self._leases.take(portfolio_id, self):
                self._good_until[portfolio_id] = _seconds() + _GOOD
        return {portfolio_id for portfolio_id in self._good_until if self.holds(portfolio_id)}

    async def give_back(self) -> None:
        for portfolio_id in self._good_until:
            if self._leases.held.get(portfolio_id, (None, 0.0))[0] is self:
                del self._leases.held[portfolio_id]
        self._good_until.clear()

    async def _renew(self) -> None:
        # No longer than its sender: a schedule has hours in which nothing runs.
        while self.is_running:
            await asyncio.sleep(_RENEWED)
            if self.is_frozen:
                await asyncio.sleep(self.frozen_until - _seconds())
            await self.take(list(self._good_until))


def _seconds() -> float:
    return asyncio.get_running_loop().time()
