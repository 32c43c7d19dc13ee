"""The webhook's part of Firestore: reads in batches, one commit at a time, few retries.

Meta repeats a POST after a 500, so a read that fails is tried only twice.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from loader.base.errors import ServiceError
from loader.firestore.values import decode_fields, decode_instant
from whatsapp.queries import CONTAINS_ANY, IN, query_request, text_values

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from loader.firestore.aio import AsyncDatabase

__all__ = ["Document", "WebhookStore"]

ResultT = TypeVar("ResultT")

_IN_ONE_QUERY = 30
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read."""

    name: str
    update_time: datetime
    fields: dict[str, Any]

    @property
    def path(self) -> list[str]:
        """Return its path: collection, id, collection, id and so on."""
        return self.name.split("/documents/", 1)[-1].split("/")


class WebhookStore:
    """Reads and writes what the webhook needs, for all laundromats."""

    def __init__(self, database: AsyncDatabase) -> None:
        """Use this connection."""
        self._database = database
        self.documents_read = 0
        """As Firestore bills them: an empty query counts as one."""
        self.writes_sent = 0

    def path(self, *segments: str) -> str:
        """Return the full name of a document."""
        return self._database.path(*segments)

    async def registry(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the registry entries: CNPJ and fields."""
        fields = ("whatsapp", "active", "name", "settings", "timezone")
        request = query_request(self._database.root, "users", [], fields=fields)
        found = await self._query(request, "the registry")
        return [(document.path[-1], document.fields) for document in found]

    async def get(
        self, names: Iterable[str], fields: tuple[str, ...] | None = None
    ) -> dict[str, Document]:
        """Return the documents that exist, by name, with these fields or with all."""
        asked = sorted(set(names))
        if not asked:
            return {}
        self.documents_read += len(asked)
        raw = await _twice(lambda: self._database.get(asked, "reading documents", fields=fields))
        return {name: _document(found) for name, found in raw.items()}

    async def sends(self, field: str, values: Iterable[str]) -> list[Document]:
        """Return all attempts with one of the values, of any laundromat: the caller must filter.

        Args:
            field: messageId, phoneKey or userId.
            values: The values to look for.

        """
        asked = sorted(set(values))
        found: list[Document] = []
        for start in range(0, len(asked), _IN_ONE_QUERY):
            part = text_values(asked[start : start + _IN_ONE_QUERY])
            request = query_request(
                self._database.root, "sends", [(field, IN, part)], all_descendants=True
            )
            found += await self._query(request, "attempts")
        return [document for document in found if document.path[0] == "users"]

    async def about(self, cnpj: str, collection: str, keys: list[str]) -> list[Document]:
        """Return a laundromat's suppressions or resumptions that have one of the keys."""
        request = query_request(
            self._database.path("users", cnpj),
            collection,
            [("keys", CONTAINS_ANY, text_values(keys))],
        )
        return await self._query(request, collection)

    async def first(self, collection: str, order: str, limit: int) -> list[Document]:
        """Return the first documents of a root collection, ordered by a field."""
        request = query_request(self._database.root, collection, [], order=(order,), limit=limit)
        return await self._query(request, collection)

    async def commit(self, writes: Sequence[bytes]) -> None:
        """Write all or nothing; not retried here.

        Raises:
            LostRaceError: A precondition did not hold; nothing was written.
            ServiceError: It may or may not have been written.

        """
        if writes:
            self.writes_sent += len(writes)
            await self._database.commit(writes, "writing what a webhook tells")

    async def _query(self, request: Any, doing: str) -> list[Document]:
        async def read() -> list[Document]:
            found = self._database.query(request, f"reading {doing}")
            return [_document(raw) async for raw in found]

        documents = await _twice(read)
        self.documents_read += max(1, len(documents))
        return documents


def _document(raw: Any) -> Document:
    return Document(raw.name, decode_instant(raw.update_time), decode_fields(raw.fields))


async def _twice(call: Callable[[], Awaitable[ResultT]]) -> ResultT:
    try:
        return await call()
    except ServiceError as error:
        if not error.is_transient:
            raise
        await asyncio.sleep(_PAUSE_SECONDS)
    return await call()
