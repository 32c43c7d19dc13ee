"""SIGINT and SIGTERM while documents are written: stop taking more, finish what is under way."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["Interrupts"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SLICE_SECONDS = 0.1
_AGAIN_SECONDS = 1.0


class Interrupts:
    """Records whether a signal asked the run to end."""

    def __init__(self) -> None:
        """Begin undisturbed."""
        self.received: signal.Signals | None = None
        self._noted_at = 0.0

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Within the block, take note of the first signal; a second ends the process at once.

        The same signal within a second counts as the first one: supervisors signal every process of
        a group, and parents signal their children, too.

        Outside the main thread Python allows no handlers; signals then keep their usual effect.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def sleep(self, seconds: float) -> None:
        """Sleep; return early on a signal."""
        end = time.monotonic() + seconds
        before = self.received
        while self.received is before and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_SECONDS))

    def note(self, number: int, _frame: FrameType | None = None) -> None:
        """Take note of a signal; a handler of signals."""
        self.received = signal.Signals(number)
        self._noted_at = time.monotonic()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.received is None:
            self.note(number)
        elif number != self.received or time.monotonic() - self._noted_at > _AGAIN_SECONDS:
            os._exit(128 + number)
