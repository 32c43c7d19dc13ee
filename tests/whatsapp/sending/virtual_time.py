"""An event loop whose clock jumps: nobody waits, and an hour of pauses takes no time."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["run_in_virtual_time"]

ResultT = TypeVar("ResultT")


class _Selector(selectors.DefaultSelector):
    """Jumps to the instant for which the loop would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            message = "everything waits for something that never comes"
            raise RuntimeError(message)
        if timeout > 0:
            # No less than what the sum of floats can hold, or an instant would never come.
            self.seconds += max(timeout, 1e-6)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.seconds


def run_in_virtual_time(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run to the end; ``asyncio.sleep`` takes no time, and the loop's clock begins at 0."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)
