"""Targets, sends and suppressions that changed, of one laundromat or of all at once.

The queries over all laundromats need the indexes that firestore.indexes.json declares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import RunQueryRequest, RunQueryResponse

from loader.base.retry import resumed
from loader.firestore.client import service_errors
from loader.firestore.values import decode_fields, decode_instant
from loader.messages import TrackedDocument
from loader.receipts import SendDocument
from loader.wishes import SuppressionDocument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.base.cnpj import Cnpj
    from loader.base.retry import Retry
    from loader.firestore.client import Database

__all__ = ["ChangeReader"]

# Seconds for a whole stream; the official client's default.
_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class _Collection:
    """A collection whose documents have updatedAt, with the fields that tracking reads."""

    name: str
    fields: tuple[str, ...]


# The fields that `loader.messages` uses; other fields of the payload are not read.
_TARGETS = _Collection(
    "targets",
    (
        "status",
        "attempts",
        "attemptLog",
        "cycleKey",
        "createdAt",
        "updatedAt",
        "deliveredAt",
        "readAt",
        "repliedAt",
        "messageId",
        "lastError",
        "phone",
        "`data`.`message`",
        "`data`.`template_variant`",
        "`data`.`voucher_code`",
    ),
)
# The fields that `loader.receipts` uses.
_SENDS = _Collection(
    "sends",
    (
        "campaignType",
        "customerId",
        "cycleKey",
        "attempt",
        "at",
        "status",
        "messageId",
        "userId",
        "error",
        "deliveredAt",
        "readAt",
        "repliedAt",
        "pricing",
        "updatedAt",
    ),
)
# The fields that `loader.wishes` uses.
_SUPPRESSIONS = _Collection(
    "suppressions",
    (
        "keys",
        "phone",
        "customerId",
        "userId",
        "source",
        "optedOutAt",
        "resumedAt",
        "updatedAt",
    ),
)

Bound = datetime | str | float | None
# The lowest text, and the lowest number except NaN.
_LOWEST_OF_OTHER_TYPES = ("", -math.inf)


class ChangeReader:
    """Reads target documents for tracking."""

    def __init__(self, database: Database, retry: Retry) -> None:
        """Read from this database, with this retry."""
        self._database = database
        self._query = database.stream("RunQuery", RunQueryRequest, RunQueryResponse)
        self._retry = retry
        self.documents_read = 0
        self.read_time: datetime | None = None
        """Firestore's time of the first answer since this was last set to None."""

    def changed(self, since: datetime) -> Iterator[TrackedDocument]:
        """Yield all laundromats' targets with an updatedAt at or after an instant."""
        root = self._database.root
        return filter(None, map(_tracked, self._documents(_TARGETS, root, since)))

    def changed_of(
        self, cnpj: Cnpj, campaign_type: str, since: datetime | None
    ) -> Iterator[TrackedDocument]:
        """Yield a campaign's targets with an updatedAt at or after an instant; None: all."""
        parent = self._database.path("users", cnpj, "campaigns", campaign_type)
        return filter(None, map(_tracked, self._documents(_TARGETS, parent, since)))

    def has_changed(self, cnpj: Cnpj, campaign_type: str, since: datetime | None) -> bool:
        """Return whether `changed_of` would yield anything; reads one document at most."""
        parent = self._database.path("users", cnpj, "campaigns", campaign_type)
        return self._has_any(_TARGETS, parent, since)

    def sends(self, since: datetime | None, cnpj: Cnpj | None = None) -> Iterator[SendDocument]:
        """Yield attempts with an updatedAt at or after an instant.

        Args:
            since: The instant; None: all documents.
            cnpj: One laundromat's; None: all laundromats'.

        """
        return filter(None, map(_send, self._documents(_SENDS, self._parent(cnpj), since)))

    def suppressions(
        self, since: datetime | None, cnpj: Cnpj | None = None
    ) -> Iterator[SuppressionDocument]:
        """Yield suppressions with an updatedAt at or after an instant; see `sends`."""
        found = self._documents(_SUPPRESSIONS, self._parent(cnpj), since)
        return filter(None, map(_suppression, found))

    def has_receipts(self, cnpj: Cnpj, since: datetime | None) -> bool:
        """Return whether `sends` or `suppressions` would yield anything of a laundromat."""
        parent = self._parent(cnpj)
        return any(self._has_any(of, parent, since) for of in (_SENDS, _SUPPRESSIONS))

    def _parent(self, cnpj: Cnpj | None) -> str:
        return self._database.root if cnpj is None else self._database.path("users", cnpj)

    def _has_any(self, collection: _Collection, parent: str, since: datetime | None) -> bool:
        def ask() -> bool:
            return any(True for _ in self._stream(collection, parent, since, None, limit=1))

        return self._retry.call(ask)

    def _documents(
        self, collection: _Collection, parent: str, since: datetime | None
    ) -> Iterator[Any]:
        # A range of instants finds no document whose updatedAt is a text or a number; those are
        # few, and read each time.
        lowest: list[Bound] = [None] if since is None else [since, *_LOWEST_OF_OTHER_TYPES]
        for least in lowest:
            stream = partial(self._stream, collection, parent, least)
            yield from resumed(stream, self._retry)

    def _stream(
        self,
        collection: _Collection,
        parent: str,
        since: Bound,
        last: Any,
        *,
        limit: int | None = None,
    ) -> Iterator[Any]:
        request = self._request(collection, parent, since, last)
        if limit is not None:
            RunQueryRequest.pb(request).structured_query.limit.value = limit
        with service_errors(self._database, f"reading changed {collection.name}"):
            for response in self._query(request, _TIMEOUT_SECONDS):
                if self.read_time is None:
                    self.read_time = decode_instant(response.read_time)
                if response.HasField("document"):
                    self.documents_read += 1
                    yield response.document

    def _request(
        self, collection: _Collection, parent: str, since: Bound, last: Any
    ) -> RunQueryRequest:
        order = ["__name__"] if since is None else ["updatedAt", "__name__"]
        request = RunQueryRequest(
            parent=parent,
            structured_query={
                "select": {"fields": [{"field_path": path} for path in collection.fields]},
                "from_": [
                    {
                        "collection_id": collection.name,
                        "all_descendants": parent == self._database.root,
                    }
                ],
                "order_by": [
                    {"field": {"field_path": path}, "direction": "ASCENDING"} for path in order
                ],
            },
        )
        query = RunQueryRequest.pb(request).structured_query
        if since is not None:
            condition = query.where.field_filter
            condition.field.field_path = "updatedAt"
            condition.op = condition.Operator.GREATER_THAN_OR_EQUAL
            if isinstance(since, datetime):
                condition.value.timestamp_value.FromDatetime(since)
            elif isinstance(since, str):
                condition.value.string_value = since
            else:
                condition.value.double_value = since
        if last is not None:
            if since is not None:
                query.start_at.values.add().CopyFrom(last.fields["updatedAt"])
            query.start_at.values.add().reference_value = last.name
        return request


def _tracked(document: Any) -> TrackedDocument | None:
    """Return a document of users/{cnpj}/campaigns/{type}/targets; None: another collection."""
    match document.name.split("/documents/", 1)[-1].split("/"):
        case ["users", cnpj, "campaigns", campaign_type, "targets", customer_id]:
            return TrackedDocument(
                cnpj,
                campaign_type,
                customer_id,
                decode_instant(document.update_time),
                decode_fields(document.fields),
            )
    return None


def _send(document: Any) -> SendDocument | None:
    """Return a document of users/{cnpj}/sends; None: another collection."""
    match document.name.split("/documents/", 1)[-1].split("/"):
        case ["users", cnpj, "sends", attempt_id]:
            written = decode_instant(document.update_time)
            return SendDocument(cnpj, attempt_id, written, decode_fields(document.fields))
    return None


def _suppression(document: Any) -> SuppressionDocument | None:
    """Return a document of users/{cnpj}/suppressions; None: another collection."""
    match document.name.split("/documents/", 1)[-1].split("/"):
        case ["users", cnpj, "suppressions", event_id]:
            written = decode_instant(document.update_time)
            return SuppressionDocument(cnpj, event_id, written, decode_fields(document.fields))
    return None
