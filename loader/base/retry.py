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
    """How long and how often a run retries a service that does not answer."""

    patience_seconds: float = 120.0
    """Seconds to keep retrying, counted from the first failure."""
    clock: Callable[[], float] = time.monotonic
    """A monotonic clock, in seconds."""
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.Random)

    def pause(self, tries: int) -> None:
        """Wait before the next try.

        Every pause from zero to the longest is equally likely ("full jitter"). This spreads the
        load of many laundromats best (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).
        """
        longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(tries - 1, 30))
        self.sleep(self.rng.uniform(0, longest))

    def is_over(self, since: float) -> bool:
        """Return whether the patience has run out for a call that first failed at ``since``."""
        return self.clock() - since >= self.patience_seconds

    def call(self, function: Callable[[], ResultT]) -> ResultT:
        """Call a function until it returns, and return that; retry transient errors.

        Raises:
            ServiceError: The error is not transient, or the patience ran out.

        """
        spell = Spell(self)
        while True:
            try:
                return function()
            except ServiceError as error:
                spell.failed(error)


def resumed(stream: Callable[[ItemT | None], Iterator[ItemT]], retry: Retry) -> Iterator[ItemT]:
    """Yield a stream's items; after a transient error, resume it behind the last item.

    Args:
        stream: Starts the stream behind the given item; None: from the beginning.
        retry: How long to retry while the stream makes no progress.

    Raises:
        ServiceError: The error is not transient, or the patience ran out.

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
    """A row of failures of one operation; a success ends it."""

    def __init__(self, retry: Retry) -> None:
        """Begin without any failure."""
        self._retry = retry
        self._since: float | None = None
        self._tries = 0

    def succeeded(self) -> None:
        """Forget earlier failures."""
        self._since, self._tries = None, 0

    def failed(self, error: ServiceError) -> None:
        """Wait before the next try, or raise the error when there must not be one."""
        if self._since is None:
            self._since = self._retry.clock()
        self._tries += 1
        if not error.is_transient or self._retry.is_over(self._since):
            raise error
        self._retry.pause(self._tries)
