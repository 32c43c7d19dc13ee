"""The embedded Firestore in this process: a thousand schedules take seconds with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loader.local.firestore import EmbeddedFirestore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.backends import Call

__all__ = ["MemoryBackend"]


class MemoryBackend:
    """Documents by name, without a server."""

    def __init__(self) -> None:
        self._firestore = EmbeddedFirestore()

    def names(self) -> list[str]:
        """Return the names of all documents, in their order."""
        return self._firestore.names()

    def answer(self, call: Call) -> Iterator[bytes]:
        return self._firestore.answer(call.method, call.request)
