"""Target documents that changed, of one laundromat or of all at once.

The query over all laundromats needs the index that firestore.indexes.json declares.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import RunQueryRequest, RunQueryResponse

from loader.firestore.client import service_errors
from loader.firestore.values import decode_fields, decode_instant
from loader.tracking import TrackedDocument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from loader.cnpj import Cnpj
    from loader.firestore.client import Database
    from loader.retry import Retry

__all__ = ["ChangeReader"]

_PAGE = 2_000
_TIMEOUT_SECONDS = 60.0

# All that `loader.tracking` looks at; the payload's other fields stay where they are.
_FIELDS = (
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
)


class ChangeReader:
    """Reads target documents for tracking, page by page."""

    def __init__(self, database: Database, retry: Retry) -> None:
        """Read from this database, with this much patience for each page."""
        self._database = database
        self._query = database.stream("RunQuery", RunQueryRequest, RunQueryResponse)
        self._retry = retry
        self.documents_read = 0
        self.read_time: datetime | None = None
        """The service's time of the first page since somebody set this to None."""

    def changed(self, since: datetime) -> Iterator[TrackedDocument]:
        """Yield the documents of all laundromats whose updatedAt is not before an instant."""
        return self._pages(self._database.root, since)

    def changed_of(
        self, cnpj: Cnpj, campaign_type: str, since: datetime | None
    ) -> Iterator[TrackedDocument]:
        """Yield a campaign's documents whose updatedAt is not before an instant; None: all."""
        return self._pages(self._database.path("users", cnpj, "campaigns", campaign_type), since)

    def _pages(self, parent: str, since: datetime | None) -> Iterator[TrackedDocument]:
        cursor: Any = None
        while True:
            request = self._request(parent, since, cursor)
            page = self._retry.call(partial(self._page, request))
            for document in page:
                tracked = _tracked(document)
                if tracked is not None:
                    yield tracked
            if len(page) < _PAGE:
                return
            cursor = page[-1]

    def _page(self, request: RunQueryRequest) -> list[Any]:
        found = []
        with service_errors(self._database, "reading changed targets"):
            for response in self._query(request, _TIMEOUT_SECONDS):
                if self.read_time is None:
                    self.read_time = decode_instant(response.read_time)
                if response.HasField("document"):
                    found.append(response.document)
        self.documents_read += len(found)
        return found

    def _request(self, parent: str, since: datetime | None, cursor: Any) -> RunQueryRequest:
        order = ["__name__"] if since is None else ["updatedAt", "__name__"]
        request = RunQueryRequest(
            parent=parent,
            structured_query={
                "select": {"fields": [{"field_path": path} for path in _FIELDS]},
                "from_": [
                    {
                        "collection_id": "targets",
                        "all_descendants": parent == self._database.root,
                    }
                ],
                "order_by": [
                    {"field": {"field_path": path}, "direction": "ASCENDING"} for path in order
                ],
                "limit": _PAGE,
            },
        )
        query = RunQueryRequest.pb(request).structured_query
        if since is not None:
            condition = query.where.field_filter
            condition.field.field_path = "updatedAt"
            condition.op = condition.Operator.GREATER_THAN_OR_EQUAL
            condition.value.timestamp_value.FromDatetime(since)
        if cursor is not None:
            if since is not None:
                query.start_at.values.add().CopyFrom(cursor.fields["updatedAt"])
            query.start_at.values.add().reference_value = cursor.name
        return request


def _tracked(document: Any) -> TrackedDocument | None:
    """Return a document of users/{cnpj}/campaigns/{type}/targets; None for another collection's."""
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
