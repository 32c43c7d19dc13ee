"""Trying again: pauses that grow, with jitter, inside a deadline."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from loader.base.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Retry", "Spell", "resumed"]

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0


@dataclass(frozen=True)
class Retry:
    """How patient a run is with a service that does not answer."""

    patience_seconds: float = 120.0
    """So long something may fail, from its first failure on."""
    clock: Callable[[], float] = time.monotonic
    """Seconds that only grow."""
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.Random)

    def pause(self, tries: int) -> None:
        """Wait before the next try, after that many have failed.

        Any length up to the longest is as likely ("full jitter"), which spreads the syncs of many
        laundromats best (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).
        """
        longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(tries - 1, 30))
        self.sleep(self.rng.uniform(0, longest))

    def is_over(self, since: float) -> bool:
        """Return whether what failed first at that instant of the clock has had its time."""
        return self.clock() - since >= self.patience_seconds

    def call(self, function: Callable[[], ResultT]) -> ResultT:
        """Return what a function returns, once it does not fail for a passing reason.

        Raises:
            ServiceError: It failed for another reason, or longer than the patience lasts.

        """
        spell = Spell(self)
        while True:
            try:
                return function()
            except ServiceError as error:
                spell.failed(error)


def resumed(stream: Callable[[ItemT | None], Iterator[ItemT]], retry: Retry) -> Iterator[ItemT]:
    """Yield what a stream yields, and go on behind its last item where a passing error ended it.

    Args:
        stream: Given the last item, None at first, begins behind it.
        retry: The patience with a stream that does not get on.

    Raises:
        ServiceError: It failed for another reason, or longer than the patience lasts.

    """
    spell = Spell(retry)
    last: ItemT | None = None
    while True:
        try:
            for item in stream(last):
                last = item
                spell.succeeded()
                yield item
        except ServiceError as error:
            spell.failed(error)
            continue
        return


class Spell:
    """A time of failures of one thing; ends with a success."""

    def __init__(self, retry: Retry) -> None:
        """Begin without any failure."""
        self._retry = retry
        self._since: float | None = None
        self._tries = 0

    def succeeded(self) -> None:
        """Forget the failures so far."""
        self._since, self._tries = None, 0

    def failed(self, error: ServiceError) -> None:
        """Wait before another try, or raise the error when there is to be none."""
        if self._since is None:
            self._since = self._retry.clock()
        self._tries += 1
        if not error.is_transient or self._retry.is_over(self._since):
            raise error
        self._retry.pause(self._tries)
