"""One sender a portfolio: leases that are renewed while it lives, and what it may do without one.

Whether a lease is still good is told by this process's own clock of seconds, from before the call
that took it: a process that was frozen knows at once when it wakes that its time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from loader.base.errors import ServiceError
from loader.firestore.lease import Lease, LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from loader.firestore.lease import Leases

__all__ = ["LASTS", "Ownership"]

_log = logging.getLogger(__name__)

LASTS = timedelta(seconds=45)
_RENEWED_SECONDS = 10.0
# What a call may take, and two clocks may drift apart, before somebody else takes over.
_MARGIN_SECONDS = 10.0


class Ownership:
    """The portfolios that this process sends for."""

    def __init__(self, leases: Leases, *, clock: Callable[[], float]) -> None:
        """Begin without any; ``clock`` gives seconds that only grow."""
        self._leases, self._clock = leases, clock
        self._held: dict[str, tuple[Lease, float]] = {}
        self._began: datetime | None = None
        self._renewing: asyncio.Task[None] | None = None

    def holds(self, portfolio_id: str) -> bool:
        """Return whether nobody else may send for a portfolio."""
        held = self._held.get(portfolio_id)
        return held is not None and self._clock() < held[1]

    async def take(self, portfolio_ids: Iterable[str]) -> set[str]:
        """Take what is free, and return everything that is held.

        Raises:
            ServiceError: Firestore does not answer.

        """
        if self._began is None:
            self._began = await asyncio.to_thread(self._leases.now)
        for portfolio_id in portfolio_ids:
            if portfolio_id in self._held:
                continue
            asked_at = self._clock()
            lease = await asyncio.to_thread(self._leases.take, portfolio_id, since=self._began)
            if isinstance(lease, Lease):
                self._held[portfolio_id] = lease, self._good_until(asked_at)
                _log.info("sending for portfolio %s", portfolio_id)
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew_all())
        return {portfolio_id for portfolio_id in self._held if self.holds(portfolio_id)}

    async def give_back(self) -> None:
        """Let others have all of them."""
        if self._renewing is not None:
            self._renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewing
        for portfolio_id, (lease, _) in self._held.items():
            try:
                await asyncio.to_thread(lease.give_back, is_served=False)
            except (LeaseLostError, ServiceError) as error:
                # It ends by itself in less than a minute.
                _log.warning("giving back the lease of portfolio %s: %s", portfolio_id, error)
        self._held.clear()

    async def _renew_all(self) -> None:
        while True:
            await asyncio.sleep(_RENEWED_SECONDS)
            for portfolio_id, (lease, _) in list(self._held.items()):
                asked_at = self._clock()
                try:
                    await asyncio.to_thread(lease.renew)
                except LeaseLostError:
                    _log.error("another sender has taken over portfolio %s", portfolio_id)
                    del self._held[portfolio_id]
                except ServiceError as error:
                    # It is good for some time yet; then nothing is posted any more.
                    _log.warning("renewing the lease of portfolio %s: %s", portfolio_id, error)
                else:
                    self._held[portfolio_id] = lease, self._good_until(asked_at)

    def _good_until(self, asked_at: float) -> float:
        return asked_at + LASTS.total_seconds() - _MARGIN_SECONDS
