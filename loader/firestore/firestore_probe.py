"""What `vmhub check` asks Firestore: a trial write that leaves no trace, and signs of a sender."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions as google_errors
from google.cloud.firestore_v1.types import (
    CommitRequest,
    GetDocumentRequest,
    RunQueryRequest,
    RunQueryResponse,
)

from loader.base.errors import ConfigurationError, ServiceError
from loader.base.fields import Fields
from loader.firestore.client import service_errors
from loader.firestore.values import decode_fields, decode_instant
from loader.firestore.wire import encode_fields
from loader.messages import OVERLAP
from loader.sync.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.firestore.client import Database

__all__ = ["FirestoreProbe", "Queue", "Traces", "signs_of_life"]

_TIMEOUT_SECONDS = 10.0
_STREAM_TIMEOUT_SECONDS = 300.0
# Documents to read, newest first. A sender's writes after a sync are newer than those of the sync.
_NEWEST = 300
# A sender's clock can be ahead of ours, but not by days.
_CLOCK_MARGIN = timedelta(minutes=5)

# Name, phone and payload are not read.
_QUEUE_FIELDS = ("attempts", "claimedUntil", "createdAt", "expiresAt", "updatedAt")
_TRACE_FIELDS = (
    "status",
    "attempts",
    "attemptLog",
    "claimedUntil",
    "updatedAt",
    "deliveredAt",
    "readAt",
    "repliedAt",
)


@dataclass(frozen=True)
class Queue:
    """Targets that wait for their message and may still be sent."""

    pending: int = 0
    claimed: int = 0
    """How many of them a sender has claimed."""
    waiting_since: datetime | None = None
    """Since when the oldest unclaimed one has waited."""


@dataclass(frozen=True)
class Traces:
    """What a sender left in the documents that changed most recently."""

    last_sign: datetime | None = None
    """When it last wrote."""
    misdated: int = 0
    """Sent messages that tracking may not see: updatedAt is earlier than the write."""


class FirestoreProbe:
    """Tests and reads one laundromat's part of a database."""

    def __init__(self, database: Database, cnpj: Cnpj) -> None:
        """Use this database."""
        self._database = database
        self._cnpj = cnpj
        self._query = database.stream("RunQuery", RunQueryRequest, RunQueryResponse)

    @property
    def scratch_path(self) -> str:
        """Return the document that `try_document` writes."""
        return f"users/{self._cnpj}/operations/check"

    def try_document(self) -> None:
        """Write, read and delete a document; overwrites one that a killed check left."""
        name = self._database.path(self.scratch_path)
        written = CommitRequest(database=self._database.name)
        update = CommitRequest.pb(written).writes.add().update
        update.name = name
        update.MergeFromString(encode_fields({"text": "written by vmhub check, to be deleted"}))
        deleted = CommitRequest(database=self._database.name)
        CommitRequest.pb(deleted).writes.add().delete = name
        self._commit(written, f"writing {self.scratch_path}")
        try:
            self._read(name)
        finally:
            self._commit(deleted, f"deleting {self.scratch_path}")

    def queue(self, campaign_types: Iterable[str], as_of: datetime) -> Queue:
        """Return the targets that wait at an instant. Reads every pending document, like a sync."""
        pending = claimed = 0
        since: list[datetime] = []
        for campaign_type in campaign_types:
            query: dict[str, Any] = {
                "where": {
                    "field_filter": {
                        "field": {"field_path": "status"},
                        "op": "EQUAL",
                        "value": {"string_value": Status.PENDING.value},
                    }
                }
            }
            for _, fields in self._documents(campaign_type, _QUEUE_FIELDS, query):
                expires_at = Fields(fields).instant("expiresAt")
                if expires_at is not None and expires_at <= as_of:
                    continue
                pending += 1
                claimed_until = Fields(fields).instant("claimedUntil")
                if claimed_until is not None and claimed_until > as_of:
                    claimed += 1
                    continue
                # A target that was queued again waits since then; updatedAt has that instant.
                began = "updatedAt" if fields.get("attempts") else "createdAt"
                since.extend(filter(None, [Fields(fields).instant(began)]))
        return Queue(pending, claimed, min(since, default=None))

    def traces(
        self, campaign_types: Iterable[str], as_of: datetime, full_at: datetime | None = None
    ) -> Traces:
        """Return what a sender left in the documents that changed most recently.

        message_history has everything older.

        Args:
            campaign_types: The campaigns to look at.
            as_of: Later instants are not looked at.
            full_at: Up to when all documents are tracked, whatever their updatedAt.

        """
        signs: list[datetime] = []
        misdated = 0
        for campaign_type in campaign_types:
            for field, limit in (("updatedAt", _NEWEST), ("claimedUntil", 1)):
                query = _newest(field, limit)
                for written, fields in self._documents(campaign_type, _TRACE_FIELDS, query):
                    found = (
                        sign for sign in signs_of_life(fields) if sign <= as_of + _CLOCK_MARGIN
                    )
                    signs += (min(sign, as_of) for sign in found)
                    is_known = full_at is not None and written <= full_at
                    # Written after as_of: the clock of this check is another than Firestore's.
                    is_compared = field == "updatedAt" and written <= as_of + _CLOCK_MARGIN
                    misdated += is_compared and not is_known and _is_misdated(written, fields)
        return Traces(max(signs, default=None), misdated)

    def _commit(self, request: CommitRequest, doing: str) -> None:
        with service_errors(self._database, doing):
            self._database.api.commit(
                request=request, metadata=self._database.metadata, timeout=_TIMEOUT_SECONDS
            )

    def _read(self, name: str) -> None:
        # Another check may have deleted it meanwhile: reading was still allowed.
        with (
            service_errors(self._database, f"reading {self.scratch_path}"),
            suppress(google_errors.NotFound),
        ):
            self._database.api.get_document(
                request=GetDocumentRequest(name=name),
                metadata=self._database.metadata,
                timeout=_TIMEOUT_SECONDS,
            )

    def _documents(
        self, campaign_type: str, fields: Iterable[str], query: dict[str, Any]
    ) -> Iterator[tuple[datetime, dict[str, Any]]]:
        """Yield Firestore's time of the last write, and the fields."""
        request = RunQueryRequest(
            parent=self._database.path("users", self._cnpj, "campaigns", campaign_type),
            structured_query={
                "select": {"fields": [{"field_path": path} for path in fields]},
                "from_": [{"collection_id": "targets"}],
                **query,
            },
        )
        try:
            with service_errors(self._database, f"reading {campaign_type} targets"):
                for response in self._query(request, _STREAM_TIMEOUT_SECONDS):
                    if response.HasField("document"):
                        raw = response.document
                        yield decode_instant(raw.update_time), decode_fields(raw.fields)
        except ServiceError as error:
            if not error.message.endswith("FAILED_PRECONDITION"):
                raise
            raise ConfigurationError(
                error.message,
                hint="an index is missing: run `firebase deploy --only firestore:indexes`",
            ) from error


def signs_of_life(fields: dict[str, Any]) -> Iterator[datetime]:
    """Yield the instants at which a sender wrote into a document, as far as it shows.

    `updatedAt` alone proves nothing, since a sync sets it, too. It counts if only a sender can have
    changed the status, or if no other field shows an attempt.
    """
    status, updated_at = fields.get("status"), Fields(fields).instant("updatedAt")
    log = fields.get("attemptLog")
    attempts = [entry for entry in log if isinstance(entry, dict)] if isinstance(log, list) else []
    claimed_until = Fields(fields).instant("claimedUntil")
    found = [Fields(entry).instant("at") for entry in attempts]
    found.extend(Fields(fields).instant(name) for name in ("deliveredAt", "readAt", "repliedAt"))
    if claimed_until is not None:
        # A claim is made some time before it expires.
        found.append(min(claimed_until, updated_at or claimed_until))
    was_tried = status != Status.PENDING or bool(fields.get("attempts"))
    if status in (Status.SENT, Status.DELIVERED) or (was_tried and not attempts):
        found.append(updated_at)
    yield from filter(None, found)


def _is_misdated(written: datetime, fields: dict[str, Any]) -> bool:
    """Return whether a sender has written an updatedAt at which tracking does not look any more.

    A document that was sent is written by senders only.
    """
    updated_at = Fields(fields).instant("updatedAt")
    is_sent = fields.get("status") in (Status.SENT, Status.DELIVERED)
    return is_sent and updated_at is not None and updated_at < written - OVERLAP


def _newest(field: str, limit: int) -> dict[str, Any]:
    order = [{"field": {"field_path": field}, "direction": "DESCENDING"}]
    return {"order_by": order, "limit": limit}
