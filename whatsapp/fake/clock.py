"""The fake's clock: it follows the machine's clock, or stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["Clock"]


class Clock:
    """A clock that tests may set."""

    def __init__(self, at: datetime | None = None) -> None:
        """Stand still at ``at``, or run with the machine's clock."""
        self._at = at
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the instant, UTC."""
        return self._at if self._at is not None else datetime.now(UTC) + self._ahead

    def set(self, at: datetime) -> None:
        """Stand still at this instant."""
        self._at = at

    def run_from(self, at: datetime) -> None:
        """Run on from this instant, as fast as the machine's clock."""
        self._at, self._ahead = None, at - datetime.now(UTC)

    def advance(self, by: timedelta) -> None:
        """Move forward; a running clock goes on running."""
        if self._at is not None:
            self._at += by
        else:
            self._ahead += by
