"""How many writes a second: Firestore's rule for traffic that is new to a collection.

Begin with 500 operations a second and add half every five minutes; faster growth causes
contention and latency (https://cloud.google.com/firestore/native/docs/best-practices).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pace"]

_FIRST_RATE = 500.0
_GROWTH = 1.5
_GROWTH_SECONDS = 300.0


class Pace:
    """Spaces writes out, by a fixed rate or the ramp."""

    def __init__(
        self,
        rate: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin now.

        Args:
            rate: Writes a second; None: the ramp.
            clock: A monotonic clock, in seconds.
            sleep: Waits this many seconds.

        """
        self._fixed_rate = rate
        self._clock = clock
        self._sleep = sleep
        self._began = self._free_at = clock()

    def rate(self) -> float:
        """Return the writes a second that are allowed now."""
        if self._fixed_rate is not None:
            return self._fixed_rate
        steps = int((self._clock() - self._began) // _GROWTH_SECONDS)
        return _FIRST_RATE * _GROWTH**steps

    def wait(self, count: int) -> None:
        """Wait until earlier writes have used up their time, then reserve time for new ones."""
        now = self._clock()
        if self._free_at > now:
            self._sleep(self._free_at - now)
            now = self._free_at
        self._free_at = now + count / self.rate()
