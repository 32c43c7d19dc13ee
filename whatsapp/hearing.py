"""How the sender hears of what the webhook was told: with each poll that finds something to send.

It asks after it has read what waits. The webhook writes the news of a failure before the target
that waits again because of it, so whoever sees the target sees the news.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from whatsapp.news import read_news

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from whatsapp.news import PortfolioNews

__all__ = ["NewsReader"]

# What a sender that starts looks back at: templates and limits it reads at WhatsApp itself.
_FIRST = timedelta(hours=1)
# The webhook's clock may be behind, and another webhook's ahead.
_OVERLAP = timedelta(minutes=5)


class NewsStore(Protocol):
    """What of `whatsapp.store.Store` it needs."""

    async def news(self, portfolio_id: str, since: datetime) -> list[tuple[str, dict[str, Any]]]:
        """Return what the webhook wrote about a portfolio since an instant, by name."""


class NewsReader:
    """Reads each event once."""

    def __init__(
        self,
        store: NewsStore,
        tell: Callable[[str, PortfolioNews], None],
        *,
        now: Callable[[], datetime],
    ) -> None:
        """Begin without any; ``tell`` takes a portfolio's id and an event."""
        self._store, self._tell, self._now = store, tell, now
        self._told: dict[str, datetime] = {}
        self._until: dict[str, datetime] = {}

    async def read(self, portfolio_ids: Iterable[str]) -> None:
        """Read what is new of some portfolios.

        Raises:
            ServiceError: Firestore does not answer.

        """
        for portfolio_id in sorted(set(portfolio_ids)):
            until = self._until.get(portfolio_id, self._now() - _FIRST)
            for name, fields in await self._store.news(portfolio_id, until - _OVERLAP):
                written, news = fields.get("updatedAt"), read_news(fields)
                is_known = self._told.get(name) == written
                if is_known or news is None or not isinstance(written, datetime):
                    continue
                self._told[name] = written
                self._until[portfolio_id] = max(written, self._until.get(portfolio_id, written))
                self._tell(portfolio_id, news)
