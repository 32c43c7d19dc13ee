"""How the sender reads the webhook's news: at each poll that finds something to send.

It reads the news after the waiting targets. The webhook writes the news of a failure first, and
only then the target that waits again because of it. So a sender that sees such a target also sees
the news.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from whatsapp.news import read_news

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from whatsapp.news import PortfolioNews

__all__ = ["NewsReader"]

# How far a new sender looks back; it reads templates and limits from WhatsApp itself.
_FIRST = timedelta(hours=1)
# A commit may become visible a little after others with a later time.
_OVERLAP = timedelta(minutes=5)


class NewsStore(Protocol):
    """The part of `whatsapp.store.Store` that the reader needs."""

    async def news(
        self, portfolio_id: str, since: datetime
    ) -> list[tuple[str, datetime, dict[str, Any]]]:
        """Return name, time of the last write, and fields of what was written since an instant."""


class NewsReader:
    """Reads each event once."""

    def __init__(
        self,
        store: NewsStore,
        tell: Callable[[str, PortfolioNews], None],
        *,
        now: Callable[[], datetime],
    ) -> None:
        """Begin without events; ``tell`` is called with a portfolio's id and an event."""
        self._store, self._tell, self._now = store, tell, now
        self._told: dict[str, datetime] = {}
        self._until: dict[str, datetime] = {}

    async def read(self, portfolio_ids: Iterable[str]) -> None:
        """Read the new events of some portfolios.

        Raises:
            ServiceError: Firestore does not answer.

        """
        for portfolio_id in sorted(set(portfolio_ids)):
            until = self._until.get(portfolio_id, self._now() - _FIRST)
            for name, version, fields in await self._store.news(portfolio_id, until - _OVERLAP):
                written, news = fields.get("updatedAt"), read_news(fields)
                is_known = self._told.get(name) == version
                if is_known or news is None or not isinstance(written, datetime):
                    continue
                # Not by updatedAt, which has milliseconds only.
                self._told[name] = version
                self._until[portfolio_id] = max(written, self._until.get(portfolio_id, written))
                self._tell(portfolio_id, news)
