"""The sender: polls for waiting targets, sends many at a time, and keeps within all limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from loader.base.errors import ServiceError, VmhubError
from whatsapp.attempts import CLAIM
from whatsapp.hearing import NewsReader
from whatsapp.order import WaitingLine
from whatsapp.pauses import PauseKind
from whatsapp.report import SendReport
from whatsapp.tokens import SecretError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from typing import Any

    from whatsapp.accounts import Account
    from whatsapp.attempt import Attempter
    from whatsapp.desk import Desk
    from whatsapp.store import Store
    from whatsapp.targets import Waiting

__all__ = ["SendOwner", "Sender"]

_log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
# While all waiting targets are held back, each poll reads them in vain: poll less often.
_LONGEST_POLL_SECONDS = 30.0
_POLLED_PER_SECOND = 2_000
_REGISTRY_SECONDS = 60.0
_SHORTEST_WAIT_SECONDS = 0.001
_RECORD_SECONDS = 600.0
_GIVEN_UP_AFTER = timedelta(days=8)


class SendOwner(Protocol):
    """Who sends for which portfolio; `whatsapp.ownership.Ownership` in a run."""

    def holds(self, portfolio_id: str) -> bool:
        """Return whether this process, and no other, may send for a portfolio."""

    async def take(self, portfolio_ids: Iterable[str]) -> set[str]:
        """Take the free leases, and return all portfolios whose lease is held."""

    async def give_back(self) -> None:
        """Give all leases back."""


class Sender:
    """Sends for all portfolios whose lease it can get."""

    def __init__(
        self,
        store: Store,
        attempter: Attempter,
        desk: Desk,
        owner: SendOwner,
        *,
        now: Callable[[], datetime],
        cnpj: str | None = None,
        record: Callable[[SendReport], Awaitable[None]] | None = None,
        most_under_way: int = 256,
    ) -> None:
        """Use these parts.

        Args:
            store: Firestore.
            attempter: Makes attempts.
            desk: The books.
            owner: The leases.
            now: The clock.
            cnpj: Send for this laundromat only.
            record: Called with what was done, every ten minutes and at the end.
            most_under_way: Attempts at a time. With too many for the processor, answers would be
                read after their timeout, and their outcome would be unknown.

        """
        self._store, self._attempter, self._desk, self._owner = store, attempter, desk, owner
        self._now, self._cnpj, self._record, self._most = now, cnpj, record, most_under_way
        self._lines: dict[str, WaitingLine] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._under_way: Counter[tuple[PauseKind, str]] = Counter()
        self._woken = asyncio.Event()
        self._accounts_at: float | None = None
        self._news = NewsReader(store, desk.told, now=now)
        self._recorded_at = asyncio.get_running_loop().time()
        self.report = SendReport(now())

    def stop(self) -> None:
        """Begin nothing new; attempts under way are finished and recorded."""
        self._desk.stopping.set()
        self._woken.set()

    def abandon(self) -> None:
        """Drop all attempts under way without recording them, as if the process were killed."""
        for task in self._tasks.values():
            task.cancel()

    async def run(self, *, once: bool) -> SendReport:
        """Send until stopped; with ``once``, until there is nothing more to send now.

        Raises:
            ServiceError: Firestore does not answer, or this program may not use it.

        """
        try:
            interval = _POLL_SECONDS
            while not self._desk.stopping.is_set():
                count = await self._poll()
                begun = await self._send_until(None if once else self._seconds() + interval)
                if once:
                    break
                interval = self._interval(count, begun, interval)
                await self._record_sometimes()
        finally:
            await self._finish()
        return self.report

    async def _finish(self) -> None:
        self._desk.stopping.set()
        while self._tasks:
            await asyncio.wait(self._tasks.values())
        with contextlib.suppress(VmhubError):
            await self._attempter.record_late()
        if self._attempter.unrecorded:
            count = len(self._attempter.unrecorded)
            _log.error("Firestore did not take what became of %s attempts; they stay open", count)
        await self._owner.give_back()
        await self._write_record()

    # Polls

    async def _poll(self) -> int:
        """Read the waiting targets and put them in line; return how many there are."""
        try:
            await self._read_accounts()
            await self._attempter.record_late()
            await self._desk.look_at_tokens()
            waiting = await self._store.waiting(self._cnpj)
            known = (self._desk.accounts.get(found.cnpj) for found in waiting)
            await self._news.read(one.portfolio_id for one in known if one is not None)
        except ServiceError as error:
            if not error.is_transient or self.report.polls == 0:
                raise
            _log.warning("%s", error)
            return 0
        self.report.polls += 1
        now = self._now()
        self._give_up([found for found in waiting if _is_lost(found, now)])
        self.report.open_attempts = sum(
            found.open_since is not None and found.open_since < now - CLAIM for found in waiting
        )
        by_portfolio: dict[str, list[Waiting]] = {}
        for found in waiting:
            account = self._desk.accounts.get(found.cnpj)
            if account is not None and found.name not in self._tasks and found.open_since is None:
                by_portfolio.setdefault(account.portfolio_id, []).append(found)
        await self._prepare({found.cnpj for found in waiting})
        for portfolio_id in self._lines.keys() | by_portfolio.keys():
            line = self._lines.setdefault(portfolio_id, WaitingLine())
            line.fill(by_portfolio.get(portfolio_id, []))
        self.report.saw((self._desk.hindrance(found), found.created_at) for found in waiting)
        return len(waiting)

    async def _read_accounts(self) -> None:
        if (
            self._accounts_at is not None
            and self._seconds() - self._accounts_at < _REGISTRY_SECONDS
        ):
            return
        accounts, broken = await self._store.accounts(self._cnpj)
        portfolios = {account.portfolio_id for account in accounts.values() if account.is_enabled}
        held = await self._owner.take(sorted(portfolios))
        self._desk.accounts = {
            cnpj: account for cnpj, account in accounts.items() if account.portfolio_id in held
        }
        self.report.broken = broken
        self._accounts_at = self._seconds()

    async def _prepare(self, cnpjs: set[str]) -> None:
        """Read what the accounts that are about to send need."""
        for cnpj in sorted(cnpjs):
            account = self._desk.accounts.get(cnpj)
            if account is None or not account.is_enabled:
                continue
            try:
                await self._desk.prepare(account)
            except VmhubError as error:
                self._pause_for(account, error)

    def _pause_for(self, account: Account, error: VmhubError) -> None:
        """Pause an account when something that it needs cannot be read."""
        is_secret = isinstance(error, SecretError)
        kind, key = (
            (PauseKind.TOKEN, account.token_secret)
            if is_secret
            else (PauseKind.NUMBER, account.phone_number_id)
        )
        if self._desk.pauses.is_paused(kind, key, self._now()):
            return
        _log.warning("%s %s is paused: %s", kind, key, error)
        minute = [timedelta(minutes=1)]
        self._desk.pauses.pause(kind, key, error.message, self._now(), minute)

    def _interval(self, count: int, begun: int, before: float) -> float:
        if count == 0 or begun > 0:
            return max(_POLL_SECONDS, count / _POLLED_PER_SECOND)
        return min(_LONGEST_POLL_SECONDS, before * 2)

    # Sending

    async def _send_until(self, deadline: float | None) -> int:
        """Begin attempts until the deadline; None: until nothing is left to send."""
        begun = 0
        while not self._desk.stopping.is_set():
            begun += self._begin()
            left = None if deadline is None else deadline - self._seconds()
            if left is not None and left < _SHORTEST_WAIT_SECONDS:
                return begun
            if left is None and not self._tasks:
                return begun
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), left)
        return begun

    def _begin(self) -> int:
        """Begin every attempt that may begin now."""
        begun = 0
        asked = deque(self._lines)
        while asked and len(self._tasks) < self._most:
            portfolio_id = asked.popleft()
            if not self._owner.holds(portfolio_id):
                continue
            waiting = self._lines[portfolio_id].take(self._may_go)
            if waiting is None:
                continue
            self._start(waiting)
            begun += 1
            # Portfolios take turns, too: this one goes to the end of the queue.
            asked.append(portfolio_id)
            self._lines[portfolio_id] = self._lines.pop(portfolio_id)
        return begun

    def _may_go(self, waiting: Waiting) -> bool:
        desk = self._desk
        account = desk.accounts.get(waiting.cnpj)
        if account is None or not desk.has_room(account) or waiting.name in self._tasks:
            return False
        if desk.hindrance(waiting) is not None:
            return False
        if desk.breaker.is_open and self._tasks:
            return False
        unproven = desk.pauses.unproven(desk.scope(account, waiting.template))
        return not any(self._under_way[part] for part in unproven)

    def _start(self, waiting: Waiting) -> None:
        account = self._desk.accounts[waiting.cnpj]
        self._desk.ramp(account).under_way += 1
        parts = self._desk.scope(account, waiting.template).parts()
        self._under_way.update(parts)

        def ended() -> None:
            self._desk.ramp(account).under_way -= 1
            self._under_way.subtract(parts)

        self._begin_task(waiting.name, self._send(waiting, account), ended)

    def _begin_task(
        self, name: str, work: Coroutine[Any, Any, None], ended: Callable[[], None]
    ) -> None:
        task = self._tasks[name] = asyncio.create_task(work)

        def note(task: asyncio.Task[None]) -> None:
            ended()
            del self._tasks[name]
            self._woken.set()
            if not task.cancelled() and (error := task.exception()) is not None:
                # Its attempt, if there is one, stays open, so that nobody sends it again.
                _log.error("an attempt ended with %s", type(error).__name__, exc_info=error)
                self.report.errors += 1

        task.add_done_callback(note)

    async def _send(self, waiting: Waiting, account: Account) -> None:
        listed = self._desk.listed(account, waiting)
        category = listed.category if listed is not None else ""
        try:
            result = await self._attempter.make(waiting, account, category, self._desk)
        except VmhubError as error:
            self.report.errors += 1
            self._pause_for(account, error)
            return
        self.report.heard(result)
        self._desk.heard(waiting, account, result)

    # Attempts whose outcome stays unknown

    def _give_up(self, lost: list[Waiting]) -> None:
        for waiting in lost:
            account = self._desk.accounts.get(waiting.cnpj)
            if account is None or waiting.name in self._tasks:
                continue
            self._begin_task(waiting.name, self._close(waiting), lambda: None)

    async def _close(self, waiting: Waiting) -> None:
        with contextlib.suppress(ServiceError):
            # If Firestore does not accept it, the next poll tries again.
            before = self._now() - _GIVEN_UP_AFTER
            self.report.given_up += await self._attempter.give_up(waiting.name, before)

    # Records

    async def _record_sometimes(self) -> None:
        if self._seconds() - self._recorded_at >= _RECORD_SECONDS:
            await self._write_record()

    async def _write_record(self) -> None:
        report = self.report
        report.pauses = self._desk.pauses.news
        report.documents_read = self._store.documents_read
        report.writes_sent = self._store.writes_sent
        now = self._now()
        report.people_left = {key: item.left(now) for key, item in self._desk.people.items()}
        report.money_left = {
            key: left for key, item in self._desk.money.items() if (left := item.left) is not None
        }
        if self._record is not None:
            await self._record(replace(report))
        self._recorded_at = self._seconds()

    @staticmethod
    def _seconds() -> float:
        return asyncio.get_running_loop().time()


def _is_lost(waiting: Waiting, now: datetime) -> bool:
    return waiting.open_since is not None and waiting.open_since <= now - _GIVEN_UP_AFTER
