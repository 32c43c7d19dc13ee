"""What a connection reads from Firestore and writes to it, counted as Firestore bills it."""

from __future__ import annotations

import threading
from typing import NamedTuple

__all__ = ["Traffic", "TrafficCount"]


class TrafficCount(NamedTuple):
    """Number of billed reads and writes."""

    reads: int = 0
    writes: int = 0

    def since(self, earlier: TrafficCount) -> TrafficCount:
        """Return what came after an earlier count."""
        return TrafficCount(self.reads - earlier.reads, self.writes - earlier.writes)


class Traffic:
    """Counts the documents that all threads of a connection read and write.

    A query that finds nothing and a document that is not there are billed as one read
    (https://firebase.google.com/docs/firestore/pricing).
    """

    def __init__(self) -> None:
        """Begin at 0."""
        self._lock = threading.Lock()
        self._reads = 0
        self._writes = 0

    def add_reads(self, number: int) -> None:
        """Count reads."""
        with self._lock:
            self._reads += number

    def add_writes(self, number: int) -> None:
        """Count writes and deletions, also those whose outcome is unknown."""
        with self._lock:
            self._writes += number

    def count(self) -> TrafficCount:
        """Return what was counted so far."""
        with self._lock:
            return TrafficCount(self._reads, self._writes)
