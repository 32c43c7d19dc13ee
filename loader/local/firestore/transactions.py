"""Transactions that lock what they read, as the service's do for server libraries.

https://cloud.google.com/firestore/docs/transaction-data-contention: a transaction holds what it has
read until it ends; another's write waits for it, and fails if it has to wait too long.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from loader.local.firestore.refusal import RefusedCall, invalid

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

__all__ = ["Transactions"]

_LONGEST_WAIT_SECONDS = 10.0
_IDLE_SECONDS = 60.0


@dataclass
class _Transaction:
    is_read_only: bool
    used_at: float
    names: set[str] = field(default_factory=set)
    """The documents that it has read, there or not."""
    queries: list[tuple[str, str, bool]] = field(default_factory=list)
    """Parent, collection id and depth of its queries."""
    is_waiting: bool = False

    def holds(self, name: str) -> bool:
        """Return whether a write of this document would change what it has read."""
        if name in self.names:
            return True
        collection = name.rpartition("/")[0]
        return any(
            collection.startswith(f"{parent}/")
            and (not id_ or collection.rpartition("/")[2] == id_)
            and (is_deep or collection.rpartition("/")[0] == parent)
            for parent, id_, is_deep in self.queries
        )


class Transactions:
    """The open transactions; every method is called with the lock held."""

    def __init__(self, lock: threading.Condition) -> None:
        """Begin without any; ``lock`` guards the documents, and waiting writes release it."""
        self._lock = lock
        self._open: dict[bytes, _Transaction] = {}

    def begin(self, options: object) -> bytes:
        """Begin a transaction, and return its id."""
        id_ = secrets.token_bytes(16)
        is_read_only = getattr(options, "WhichOneof", lambda _: None)("mode") == "read_only"
        self._open[id_] = _Transaction(is_read_only, time.monotonic())
        return id_

    def note(self, id_: bytes, names: Iterable[str]) -> None:
        """Hold documents that a transaction has read."""
        transaction = self._known(id_)
        if not transaction.is_read_only:
            transaction.names.update(names)

    def note_query(self, id_: bytes, parent: str, collection_id: str, *, is_deep: bool) -> None:
        """Hold all that a transaction's query could have found."""
        transaction = self._known(id_)
        if not transaction.is_read_only:
            transaction.queries.append((parent, collection_id, is_deep))

    def end(self, id_: bytes) -> None:
        """Forget a transaction, and let waiting writes go on."""
        self._known(id_)
        del self._open[id_]
        self._lock.notify_all()

    def wait_for(self, names: Iterable[str], own: bytes) -> None:
        """Wait until no other transaction holds documents that are to be written.

        Raises:
            RefusedCall: It takes too long, or two transactions wait for each other.

        """
        me = self._known(own) if own else None
        if me is not None and me.is_read_only and list(names):
            invalid("Cannot modify entities in a read-only transaction.")
        wanted, end = list(names), time.monotonic() + _LONGEST_WAIT_SECONDS
        while holders := self._holders(wanted, own):
            left = end - time.monotonic()
            if left <= 0 or (me is not None and any(one.is_waiting for one in holders)):
                if own:
                    del self._open[own]
                    self._lock.notify_all()
                raise RefusedCall(grpc.StatusCode.ABORTED, "Transaction lock timeout.")
            if me is not None:
                me.is_waiting = True
            self._lock.wait(min(left, 1.0))
            if me is not None:
                me.is_waiting = False

    def _holders(self, names: list[str], own: bytes) -> list[_Transaction]:
        now = time.monotonic()
        for id_ in [key for key, one in self._open.items() if now - one.used_at > _IDLE_SECONDS]:
            del self._open[id_]
        return [
            one
            for id_, one in self._open.items()
            if id_ != own and any(one.holds(name) for name in names)
        ]

    def _known(self, id_: bytes) -> _Transaction:
        transaction = self._open.get(id_)
        if transaction is None:
            invalid("The referenced transaction has expired or is no longer valid.")
        transaction.used_at = time.monotonic()
        return transaction
