"""All documents about single people: found by their ids and by indexes, and deleted.

No collection is read as a whole: targets are read by their names, all others by a field that has
an index without being declared.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions as google_errors
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    CommitRequest,
    RunQueryRequest,
    RunQueryResponse,
)

from loader.base.errors import ServiceError
from loader.firestore.client import service_errors
from loader.firestore.values import decode_fields, decode_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.base.retry import Retry
    from loader.firestore.client import Database

__all__ = ["FoundDocument", "PeopleStore"]

_TIMEOUT_SECONDS = 60.0
_VALUES_A_QUERY = 30
_WRITES_A_COMMIT = 400
_EQUALS, _CONTAINS = "IN", "ARRAY_CONTAINS_ANY"


@dataclass(frozen=True)
class FoundDocument:
    """A document as it was read."""

    name: str
    """Its full name."""
    update_time: datetime
    fields: dict[str, Any]

    @property
    def path(self) -> str:
        """Return its name without project and database."""
        return self.name.split("/documents/", 1)[-1]

    @property
    def id(self) -> str:
        """Return the last part of its name."""
        return self.name.rsplit("/", 1)[-1]


class PeopleStore:
    """The documents of one laundromat's customers."""

    def __init__(self, database: Database, cnpj: Cnpj, retry: Retry) -> None:
        """Bind the store to one laundromat's part of the database."""
        self._database = database
        self._cnpj = cnpj
        self._retry = retry
        self._query = database.stream("RunQuery", RunQueryRequest, RunQueryResponse)
        self._get = database.stream(
            "BatchGetDocuments", BatchGetDocumentsRequest, BatchGetDocumentsResponse
        )
        self.documents_read = 0
        """As Firestore bills them: an empty query and a missing document count as one."""

    def targets(self, campaign_types: Iterable[str], ids: Iterable[str]) -> list[FoundDocument]:
        """Return people's targets in all campaigns, by point reads."""
        ids = list(ids)
        names = [
            self._database.path("users", self._cnpj, "campaigns", campaign, "targets", id_)
            for campaign in campaign_types
            for id_ in ids
        ]
        return self.documents(names)

    def documents(self, names: Sequence[str]) -> list[FoundDocument]:
        """Return the documents that exist, by their full names."""
        if not names:
            return []
        request = BatchGetDocumentsRequest(database=self._database.name, documents=list(names))

        def ask() -> list[FoundDocument]:
            with service_errors(self._database, "reading a person's documents"):
                return [
                    _found(response.found)
                    for response in self._get(request, _TIMEOUT_SECONDS)
                    if response.HasField("found")
                ]

        self.documents_read += len(names)
        return self._retry.call(ask)

    def named(self, collection: str, *segments: str) -> str:
        """Return the full name of a document below the laundromat."""
        return self._database.path("users", self._cnpj, collection, *segments)

    def sends(self, customer_ids: Iterable[str]) -> list[FoundDocument]:
        """Return the attempts to write to customers."""
        return self._by("sends", "customerId", _EQUALS, customer_ids)

    def wishes(
        self,
        collection: str,
        *,
        keys: Iterable[str],
        phones: Iterable[str],
        customer_ids: Iterable[str],
    ) -> list[FoundDocument]:
        """Return the suppressions or resumptions that name people by any of their fields."""
        found = [
            *self._by(collection, "keys", _CONTAINS, keys),
            *self._by(collection, "phone", _EQUALS, phones),
            *self._by(collection, "customerId", _EQUALS, customer_ids),
        ]
        return list({document.name: document for document in found}.values())

    def confirmations(self, event_ids: Iterable[str]) -> list[FoundDocument]:
        """Return the confirmations of opt-outs."""
        return self._by("confirmations", "event", _EQUALS, event_ids)

    def unmatched(self, message_ids: Iterable[str]) -> list[FoundDocument]:
        """Return the receipts of messages that are still kept without their attempt."""
        return self._by("unmatched", "messageId", _EQUALS, message_ids, parent=self._database.root)

    def older(
        self, collection: str, field: str, before: datetime, *, below: Sequence[str] = ()
    ) -> Iterator[FoundDocument]:
        """Yield the documents of a collection whose instant is before another, oldest first.

        Args:
            collection: The collection.
            field: Has the instant; a document without it is not found.
            before: The instant.
            below: Collection and id of a document of the laundromat that has the collection.

        """
        request = RunQueryRequest(
            parent=self._database.path("users", self._cnpj, *below),
            structured_query={
                "select": {"fields": [{"field_path": field}, {"field_path": "status"}]},
                "from_": [{"collection_id": collection}],
                "order_by": [{"field": {"field_path": field}, "direction": "ASCENDING"}],
            },
        )
        condition = RunQueryRequest.pb(request).structured_query.where.field_filter
        condition.field.field_path = field
        condition.op = condition.Operator.LESS_THAN
        condition.value.timestamp_value.FromDatetime(before)
        for document in self._run(request):
            self.documents_read += 1
            yield document

    def delete(self, documents: Iterable[FoundDocument]) -> None:
        """Delete documents; one that is gone is not an error, so it can be repeated.

        Raises:
            ServiceError: Firestore does not answer; earlier parts of 400 are deleted.

        """
        items = iter(documents)
        while part := list(islice(items, _WRITES_A_COMMIT)):
            commit = CommitRequest(database=self._database.name)
            for document in part:
                CommitRequest.pb(commit).writes.add().delete = document.name
            self._commit(commit)

    def delete_unchanged(self, document: FoundDocument) -> bool:
        """Delete a document; return False if it was written since it was read, and is still there.

        Raises:
            ServiceError: Firestore does not answer.

        """
        commit = CommitRequest(database=self._database.name)
        write = CommitRequest.pb(commit).writes.add()
        write.delete = document.name
        write.current_document.update_time.FromDatetime(document.update_time)
        try:
            self._commit(commit)
        except ServiceError as error:
            if isinstance(error.__cause__, google_errors.NotFound):
                return True
            if isinstance(error.__cause__, google_errors.FailedPrecondition):
                return not self.documents([document.name])
            raise
        return True

    def _commit(self, commit: CommitRequest) -> None:
        with service_errors(self._database, "deleting a person's documents"):
            self._database.api.commit(
                request=commit, metadata=self._database.metadata, timeout=_TIMEOUT_SECONDS
            )

    def _by(
        self,
        collection: str,
        field: str,
        operator: str,
        values: Iterable[str],
        *,
        parent: str | None = None,
    ) -> list[FoundDocument]:
        found: list[FoundDocument] = []
        asked = iter(sorted(set(values)))
        while part := list(islice(asked, _VALUES_A_QUERY)):
            request = RunQueryRequest(
                parent=parent or self._database.path("users", self._cnpj),
                structured_query={
                    "from_": [{"collection_id": collection}],
                    "where": {
                        "field_filter": {
                            "field": {"field_path": field},
                            "op": operator,
                            "value": {
                                "array_value": {"values": [{"string_value": text} for text in part]}
                            },
                        }
                    },
                },
            )
            documents = self._retry.call(lambda request=request: list(self._run(request)))  # type: ignore[misc]
            self.documents_read += max(1, len(documents))
            found += documents
        return found

    def _run(self, request: Any) -> Iterator[FoundDocument]:
        with service_errors(self._database, "reading a person's documents"):
            for response in self._query(request, _TIMEOUT_SECONDS):
                if response.HasField("document"):
                    yield _found(response.document)


def _found(raw: Any) -> FoundDocument:
    return FoundDocument(raw.name, decode_instant(raw.update_time), decode_fields(raw.fields))
