"""The documents, by collection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Documents"]


class Documents:
    """All documents of all databases: ``google.firestore.v1.Document`` by name."""

    def __init__(self) -> None:
        """Begin without documents."""
        self._collections: dict[str, dict[str, Any]] = {}
        self._groups: dict[str, set[str]] = {}
        """The collections of a collection id."""
        self._last_time = 0

    def get(self, name: str) -> Any | None:
        """Return a document; None: there is none. It must not be changed."""
        collection, _, id_ = name.rpartition("/")
        return self._collections.get(collection, {}).get(id_)

    def put(self, document: Any) -> None:
        """Add or replace a document."""
        collection, _, id_ = document.name.rpartition("/")
        if collection not in self._collections:
            self._collections[collection] = {}
            self._groups.setdefault(collection.rpartition("/")[2], set()).add(collection)
        self._collections[collection][id_] = document

    def delete(self, name: str) -> None:
        """Remove a document, if there is one."""
        collection, _, id_ = name.rpartition("/")
        documents = self._collections.get(collection, {})
        documents.pop(id_, None)
        if not documents and collection in self._collections:
            del self._collections[collection]
            self._groups[collection.rpartition("/")[2]].discard(collection)

    def everything(self) -> Iterator[Any]:
        """Yield all documents."""
        for documents in self._collections.values():
            yield from documents.values()

    def found(self, parent: str, collection_id: str, *, is_deep: bool) -> Iterator[Any]:
        """Yield the documents below a parent.

        Args:
            parent: The root of a database, or a document.
            collection_id: The last part of their collection's name; empty: any.
            is_deep: In collections at any depth; otherwise directly below the parent.

        """
        for collection in self._below(parent, collection_id, is_deep=is_deep):
            yield from self._collections[collection].values()

    def _below(self, parent: str, collection_id: str, *, is_deep: bool) -> list[str]:
        if collection_id and not is_deep:
            collection = f"{parent}/{collection_id}"
            return [collection] if collection in self._collections else []
        known = self._groups.get(collection_id, ()) if collection_id else self._collections
        found = [collection for collection in known if collection.startswith(f"{parent}/")]
        return found if is_deep else [one for one in found if "/" not in one[len(parent) + 1 :]]

    def collection_ids(self, parent: str) -> list[str]:
        """Return the ids of a parent's collections, also of those that only hold deeper ones."""
        start = len(parent) + 1
        below = (one[start:] for one in self._collections if one.startswith(f"{parent}/"))
        return sorted({one.split("/", 1)[0] for one in below}, key=str.encode)

    def missing_parents(self, collection: str) -> set[str]:
        """Return the names in a collection that are no documents but have documents below."""
        start = len(collection) + 1
        deeper = (one for one in self._collections if one.startswith(f"{collection}/"))
        names = {f"{collection}/{one[start:].split('/', 1)[0]}" for one in deeper}
        return {name for name in names if self.get(name) is None}

    def tick(self) -> int:
        """Return an instant in microseconds, later than all earlier ones."""
        self._last_time = max(self._last_time + 1, time.time_ns() // 1000)
        return self._last_time
