"""Signals for a process with an event loop: the first stops it cleanly, a second one at once."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["end_on_signals"]


def end_on_signals(stop: Callable[[], object]) -> list[int]:
    """Call ``stop`` at the first SIGINT or SIGTERM, and end the process at the second.

    Returns:
        An empty list; the first signal's number is added to it when the signal comes.

    """
    received: list[int] = []

    def note(number: int) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, note, number)
        except (ValueError, RuntimeError):
            # Only the main thread can handle signals.
            break
    return received
