"""One sender per portfolio: its leases, which it renews while it runs.

Whether a lease is still valid is decided by this process's own monotonic clock, counted from before
the call that took the lease. So a process that was frozen knows at once that its lease is over.
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
# For the time a call takes and for clock drift: stop before somebody else may take over.
_MARGIN_SECONDS = 10.0


class Ownership:
    """The portfolios that this process sends for."""

    def __init__(self, leases: Leases, *, clock: Callable[[], float]) -> None:
        """Begin without any lease; ``clock`` is monotonic, in seconds."""
        self._leases, self._clock = leases, clock
        self._held: dict[str, tuple[Lease, float]] = {}
        self._began: datetime | None = None
        self._renewing: asyncio.Task[None] | None = None

    def holds(self, portfolio_id: str) -> bool:
        """Return whether this process, and no other, may send for a portfolio."""
        held = self._held.get(portfolio_id)
        return held is not None and self._clock() < held[1]

    async def take(self, portfolio_ids: Iterable[str]) -> set[str]:
        """Take the free leases, and return all portfolios whose lease is held.

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
        """Give all leases back."""
        if self._renewing is not None:
            self._renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewing
        for portfolio_id, (lease, _) in self._held.items():
            try:
                await asyncio.to_thread(lease.give_back, is_served=False)
            except (LeaseLostError, ServiceError) as error:
                # The lease ends by itself in less than a minute.
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
                    # The lease is still valid for some time; after that nothing is posted.
                    _log.warning("renewing the lease of portfolio %s: %s", portfolio_id, error)
                else:
                    self._held[portfolio_id] = lease, self._good_until(asked_at)

    def _good_until(self, asked_at: float) -> float:
        return asked_at + LASTS.total_seconds() - _MARGIN_SECONDS
