"""Target documents: ``users/{cnpj}/campaigns/{type}/targets/{customerId}``."""

from __future__ import annotations

from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    Document,
    RunQueryRequest,
    RunQueryResponse,
)

from loader.base.fields import Fields
from loader.firestore.batches import REQUEST_WRITES, BatchWriter
from loader.firestore.client import service_errors
from loader.firestore.values import decode_fields, decode_instant, decode_value
from loader.firestore.wire import delimited, encode_fields, encode_instant
from loader.messages import Watermark
from loader.sync.decide import Action
from loader.sync.model import Status, TargetDocument
from loader.sync.ports import UnfitValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.base.errors import ServiceError
    from loader.base.pace import Pace
    from loader.firestore.client import Database
    from loader.sync.model import Target
    from loader.sync.ports import Write, WriteResult

__all__ = ["MAX_DOCUMENT_BYTES", "TargetStore"]

# https://cloud.google.com/firestore/quotas: 1 MiB a document, names and overhead included.
MAX_DOCUMENT_BYTES = 1_048_576 - 4_096

_READ_IDS = 300
_TIMEOUT_SECONDS = 60.0
# Seconds for a whole stream; the official client's default. A hundred thousand documents, or the
# first one from a busy server, can take more than a minute.
_STREAM_TIMEOUT_SECONDS = 300.0
_DIGEST_BYTES = 16

# The fields that a row sets in its document, by the names that the WhatsApp integration reads.
_PAYLOAD = ("name", "phone", "data", "expiresAt", "cycleKey", "cycleStart")
# Fields that decide what sync may do. If one of the first cannot be read, the document is in doubt,
# and sync leaves it alone.
_DECIDING = ("attempts", "attemptLog", "claimedUntil", "lastError", "nextAttemptAt")
_READ = (*_DECIDING, "status", "createdAt", "updatedAt", "expiresAt", "phone")
_UPDATED = (*_PAYLOAD, "updatedAt")
_REQUEUED = (*_UPDATED, "status", "claimedUntil", "nextAttemptAt")
_GIVEN_UP = ("updatedAt", "status")

# Field numbers of google.firestore.v1 Write, Document, DocumentMask and Precondition, with their
# wire type: https://github.com/googleapis/googleapis/tree/master/google/firestore/v1
_WRITE_UPDATE, _WRITE_DELETE, _WRITE_MASK, _WRITE_PRECONDITION = b"\x0a", b"\x12", b"\x1a", b"\x22"
_DOCUMENT_NAME, _MASK_PATH = b"\x0a", b"\x0a"
_PRECONDITION_NONE, _PRECONDITION_TIME = b"\x08\x00", b"\x12"

_MASKS = {
    action: delimited(_WRITE_MASK, b"".join(delimited(_MASK_PATH, path.encode()) for path in paths))
    # A field that is in the mask but not in the document gets removed.
    for action, paths in (
        (Action.UPDATE, _UPDATED),
        (Action.REQUEUE, _REQUEUED),
        (Action.WITHDRAW, _GIVEN_UP),
    )
}
_IS_NEW = delimited(_WRITE_PRECONDITION, _PRECONDITION_NONE)

DocumentPb: Any = Document.pb()


class TargetStore:
    """Reads and writes the target documents of one CNPJ, and of no other."""

    def __init__(
        self,
        database: Database,
        cnpj: Cnpj,
        *,
        pace: Pace | None = None,
        watermark: Watermark | None = None,
    ) -> None:
        """Bind the store to one laundromat's part of the database.

        Args:
            database: The connection.
            cnpj: The laundromat.
            pace: Limits the writes per second; None: no limit.
            watermark: How far documents are tracked in message_history; None: not at all.

        """
        self.watermark = watermark or Watermark()
        self.documents_read = 0
        self._database = database
        self._cnpj = cnpj
        self._batches = BatchWriter(database, pace)
        self._query = database.stream("RunQuery", RunQueryRequest, RunQueryResponse)
        self._get = database.stream(
            "BatchGetDocuments", BatchGetDocumentsRequest, BatchGetDocumentsResponse
        )
        self._folders: dict[str, str] = {}
        self._cycles: dict[tuple[str, datetime, datetime], bytes] = {}
        self._states: dict[tuple[str, datetime], bytes] = {}

    @property
    def writes_sent(self) -> int:
        """Return how many writes were sent, repeated ones included."""
        return self._batches.sent

    def pending(self, campaign_type: str, *, after: str | None = None) -> Iterator[TargetDocument]:
        """Yield a campaign's pending documents, ordered by id.

        Args:
            campaign_type: The campaign.
            after: Begin behind this id, to continue after an error.

        """
        request = self._pending_request(campaign_type)
        if after is not None:
            cursor = RunQueryRequest.pb(request).structured_query.start_at
            cursor.values.add().reference_value = self._name(campaign_type, after)
        with service_errors(self._database, f"reading pending {campaign_type} targets"):
            for response in self._query(request, _STREAM_TIMEOUT_SECONDS):
                if response.HasField("document"):
                    self.documents_read += 1
                    yield self._document(response.document)

    def has_pending(self, campaign_type: str) -> bool:
        """Return whether `pending` would yield anything; reads one document at most."""
        request = self._pending_request(campaign_type)
        RunQueryRequest.pb(request).structured_query.limit.value = 1
        with service_errors(self._database, f"looking for pending {campaign_type} targets"):
            responses = self._query(request, _TIMEOUT_SECONDS)
            return any(response.HasField("document") for response in responses)

    def _pending_request(self, campaign_type: str) -> RunQueryRequest:
        return RunQueryRequest(
            parent=self._database.path("users", self._cnpj, "campaigns", campaign_type),
            structured_query={
                "from_": [{"collection_id": "targets"}],
                "where": {
                    "field_filter": {
                        "field": {"field_path": "status"},
                        "op": "EQUAL",
                        "value": {"string_value": Status.PENDING.value},
                    }
                },
                "order_by": [{"field": {"field_path": "__name__"}, "direction": "ASCENDING"}],
            },
        )

    def read(
        self, campaign_type: str, customer_ids: Sequence[str]
    ) -> dict[str, TargetDocument | None]:
        """Return the documents of these customers; None: there is none."""
        found: dict[str, TargetDocument | None] = dict.fromkeys(customer_ids)
        for raw in self._documents(campaign_type, customer_ids):
            document = self._document(raw)
            found[document.customer_id] = document
        return found

    def fields(self, campaign_type: str, customer_id: str) -> dict[str, Any]:
        """Return all fields of a document, to show them; empty when it does not exist."""
        documents = self._documents(campaign_type, [customer_id])
        return next((decode_fields(raw.fields) for raw in documents), {})

    def payload(self, target: Target) -> bytes:
        """Return the fields that a row sets in its document, encoded.

        Raises:
            UnfitValueError: Firestore cannot store it; the text says why.

        """
        try:
            data = orjson.loads(target.data)
            if type(data) is not dict:
                message = "the payload is not a JSON object"
                raise UnfitValueError(message)
            payload = self._cycle(target) + encode_fields(
                {"name": target.name, "phone": target.phone, "data": data}
            )
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            message = "the payload is not a JSON object"
            raise UnfitValueError(message) from None
        # Room for the other fields of a new document: instants, numbers and short texts.
        size = len(payload) + 400 + len(self._name(target.campaign_type, target.customer_id)) * 2
        if size > MAX_DOCUMENT_BYTES:
            message = f"the document would have {size} bytes, more than {MAX_DOCUMENT_BYTES}"
            raise UnfitValueError(message)
        return payload

    def digest(self, payload: bytes) -> bytes:
        """Return a payload's digest; a document with the same content has the same digest."""
        return _digest(DocumentPb.FromString(payload).fields)

    def write(
        self, writes: Iterable[Write], *, as_of: datetime
    ) -> Iterator[tuple[Write, WriteResult | str | ServiceError]]:
        """Send writes, several requests at a time, and yield what became of each.

        The writes are independent: one that fails does not undo another. Writes are taken when
        there is room for them, and every write that was taken is yielded.

        Yields:
            The write and its result. A text is the reason why this write was refused. An error
            means that this program may not write at all.

        """
        return self._batches.send(self._encoded(iter(writes), as_of))

    def _encoded(
        self, writes: Iterator[Write], as_of: datetime
    ) -> Iterator[list[tuple[Write, bytes]]]:
        # Take a whole part, then encode it: alternating between the two costs twice the CPU.
        while part := list(islice(writes, REQUEST_WRITES)):
            yield [(write, self._encode(write, as_of)) for write in part]

    def _documents(self, campaign_type: str, customer_ids: Sequence[str]) -> Iterator[Any]:
        """Yield the raw documents that exist, in any order."""
        names = [self._name(campaign_type, customer_id) for customer_id in customer_ids]
        for start in range(0, len(names), _READ_IDS):
            request = BatchGetDocumentsRequest(
                database=self._database.name, documents=names[start : start + _READ_IDS]
            )
            with service_errors(self._database, f"reading {campaign_type} targets"):
                for response in self._get(request, _TIMEOUT_SECONDS):
                    self.documents_read += 1
                    if response.HasField("found"):
                        yield response.found

    def _document(self, raw: Any) -> TargetDocument:
        known = raw.fields
        fields = Fields({name: decode_value(known[name]) for name in _READ if name in known})
        status, attempts = fields.text("status"), fields.count("attempts") or 0
        log = fields.maps("attemptLog")
        is_recoverable = fields.map("lastError").flag("recoverable")
        update_time, updated_at = decode_instant(raw.update_time), fields.instant("updatedAt")
        was_attempted = attempts > 0 or bool(log)
        was_sent = status != Status.PENDING or was_attempted
        return TargetDocument(
            customer_id=raw.name.rsplit("/", 1)[-1],
            update_time=update_time,
            status=status,
            payload=_digest(known),
            attempts=attempts,
            created_at=fields.instant("createdAt"),
            updated_at=updated_at,
            expires_at=fields.instant("expiresAt"),
            claimed_until=fields.instant("claimedUntil"),
            next_attempt_at=fields.instant("nextAttemptAt"),
            is_recoverable=is_recoverable is not False,
            is_recorded=not was_sent
            or self.watermark.covers(
                update_time, updated_at, keeps_log=fields.is_there("attemptLog")
            ),
            was_attempted=was_attempted,
            has_open_attempt=_is_open(log, attempts),
            doubt="; ".join(text for text in fields.problems if text.startswith(_DECIDING)),
            phone=fields.text("phone"),
        )

    def _encode(self, write: Write, as_of: datetime) -> bytes:
        name = self._name(write.campaign_type, write.customer_id).encode()
        if write.document is None:
            precondition = _IS_NEW
        else:
            time = delimited(_PRECONDITION_TIME, encode_instant(write.document.update_time))
            precondition = delimited(_WRITE_PRECONDITION, time)
        if write.is_deletion:
            return delimited(_WRITE_DELETE, name) + precondition
        document = delimited(_DOCUMENT_NAME, name) + write.payload
        at = write.updated_at(as_of)
        if write.action is Action.WITHDRAW:
            document += encode_fields({"updatedAt": at, "status": Status.FAILED.value})
        elif write.action is Action.UPDATE:
            document += encode_fields({"updatedAt": at})
        elif write.action is Action.REQUEUE:
            document += encode_fields({"updatedAt": at, "status": Status.PENDING.value})
        else:
            document += encode_fields({"customerId": write.customer_id})
            document += self._state(write.campaign_type, as_of)
        mask = _MASKS.get(write.action, b"")
        return delimited(_WRITE_UPDATE, document) + mask + precondition

    def _cycle(self, target: Target) -> bytes:
        """Return the fields that all rows of a campaign and day share, encoded once."""
        key = (target.cycle_key, target.cycle_start, target.expires_at)
        encoded = self._cycles.get(key)
        if encoded is None:
            if len(self._cycles) >= 1000:  # noqa: PLR2004 - a bound for memory's sake
                self._cycles.clear()
            encoded = self._cycles[key] = encode_fields(
                {
                    "cycleKey": target.cycle_key,
                    "cycleStart": target.cycle_start,
                    "expiresAt": target.expires_at,
                }
            )
        return encoded

    def _state(self, campaign_type: str, as_of: datetime) -> bytes:
        """Return the fields that all new documents of a campaign share, encoded once."""
        key = (campaign_type, as_of)
        encoded = self._states.get(key)
        if encoded is None:
            encoded = self._states[key] = encode_fields(
                {
                    "cnpj": self._cnpj,
                    "campaignType": campaign_type,
                    "status": Status.PENDING.value,
                    "attempts": 0,
                    "createdAt": as_of,
                    "updatedAt": as_of,
                }
            )
        return encoded

    def _name(self, campaign_type: str, customer_id: str) -> str:
        folder = self._folders.get(campaign_type)
        if folder is None:
            folder = self._folders[campaign_type] = self._database.path(
                "users", self._cnpj, "campaigns", campaign_type, "targets"
            )
        return f"{folder}/{customer_id}"


def _digest(fields: Any) -> bytes:
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for name in _PAYLOAD:
        # Maps are sorted, so within one process equal values give equal bytes.
        value = fields[name].SerializeToString(deterministic=True) if name in fields else b""
        digest.update(len(value).to_bytes(4, "big"))
        digest.update(value)
    return digest.digest()


def _is_open(log: Sequence[Fields], attempts: int) -> bool:
    """Return whether a log has an attempt that is not counted and not marked as failed."""
    return len(log) > attempts and log[-1].text("status") != Status.FAILED
