"""Target documents: ``users/{cnpj}/campaigns/{type}/targets/{customerId}``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import grpc
from google.api_core import exceptions as google_errors
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchWriteRequest,
    RunQueryRequest,
)

from loader.firestore.client import service_errors
from loader.firestore.values import decode_fields, decode_instant, fill_fields
from loader.planning import Action
from loader.targets import Status, TargetDocument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loader.cnpj import Cnpj
    from loader.firestore.client import Database
    from loader.targets import Target

__all__ = ["MAX_DOCUMENT_BYTES", "TargetStore", "Write", "WriteResult"]

# https://cloud.google.com/firestore/quotas: 1 MiB a document, names and overhead included.
MAX_DOCUMENT_BYTES = 1_048_576 - 4_096

# The service takes 10 MiB a request; Google's emulator refuses more than 4 MiB.
_MAX_REQUEST_BYTES = 3 * 1024 * 1024
_MAX_REQUEST_WRITES = 500
_READ_IDS = 300
_TIMEOUT_SECONDS = 60.0

_INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT.value[0]
_LOST_RACE = {
    grpc.StatusCode.ALREADY_EXISTS.value[0],
    grpc.StatusCode.FAILED_PRECONDITION.value[0],
    grpc.StatusCode.NOT_FOUND.value[0],
}
_TRANSIENT = {
    grpc.StatusCode.ABORTED.value[0],
    grpc.StatusCode.DEADLINE_EXCEEDED.value[0],
    grpc.StatusCode.INTERNAL.value[0],
    grpc.StatusCode.RESOURCE_EXHAUSTED.value[0],
    grpc.StatusCode.UNAVAILABLE.value[0],
    grpc.StatusCode.UNKNOWN.value[0],
    grpc.StatusCode.CANCELLED.value[0],
}
_CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

# What a new target document has, in the names the WhatsApp integration reads.
_PAYLOAD = ("name", "phone", "data", "expiresAt", "cycleKey", "cycleStart", "updatedAt")
_REQUEUED = (*_PAYLOAD, "status", "claimedUntil", "nextAttemptAt")


@dataclass(frozen=True, slots=True)
class Write:
    """One intended change of one document.

    ``document`` is what was read before and becomes the precondition; None asks that there is
    no document.
    """

    action: Action
    campaign_type: str
    customer_id: str
    target: Target | None
    document: TargetDocument | None


class WriteResult(Enum):
    """What is known of a write after its request."""

    DONE = auto()
    LOST_RACE = auto()
    """The document was not as it had been read; nothing was written."""
    UNKNOWN = auto()
    """It may or may not have been written: read it back."""


class TargetStore:
    """Reads and writes the target documents of one CNPJ, and of no other."""

    def __init__(self, database: Database, cnpj: Cnpj) -> None:
        """Bind the store to one laundromat's part of the database."""
        self._database = database
        self._cnpj = cnpj

    def pending(self, campaign_type: str) -> Iterator[TargetDocument]:
        """Yield the documents of a campaign that wait for their message, ordered by id."""
        request = RunQueryRequest(
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
            },
        )
        with service_errors(self._database, f"reading pending {campaign_type} targets"):
            for response in self._database.api.run_query(
                request=request, metadata=self._database.metadata, timeout=_TIMEOUT_SECONDS
            ):
                raw = type(response).pb(response)
                if raw.HasField("document"):
                    yield _document(raw.document)

    def read(
        self, campaign_type: str, customer_ids: Sequence[str]
    ) -> dict[str, TargetDocument | None]:
        """Return the documents of these customers, None where there is none."""
        found: dict[str, TargetDocument | None] = dict.fromkeys(customer_ids)
        for raw in self._get(campaign_type, customer_ids):
            document = _document(raw)
            found[document.customer_id] = document
        return found

    def fields(self, campaign_type: str, customer_id: str) -> dict[str, Any]:
        """Return all fields of a document, for showing; empty when there is none."""
        return next(
            (decode_fields(raw.fields) for raw in self._get(campaign_type, [customer_id])), {}
        )

    def write(
        self, writes: Iterable[Write], *, as_of: datetime
    ) -> Iterator[tuple[Write, WriteResult | str]]:
        """Send the writes in batches and yield what became of each.

        Each write stands alone: one that fails does not undo another.

        Yields:
            The write and its result; a text is the reason of a final failure.

        """
        batch: list[Write] = []
        request, size = self._new_request(), 0
        for write in writes:
            raw = type(request).pb(request).writes.add()
            self._fill(raw, write, as_of)
            size += raw.ByteSize()
            batch.append(write)
            if len(batch) == _MAX_REQUEST_WRITES or size >= _MAX_REQUEST_BYTES:
                yield from self._send(request, batch)
                batch = []
                request, size = self._new_request(), 0
        if batch:
            yield from self._send(request, batch)

    def document_bytes(self, target: Target, *, as_of: datetime) -> int:
        """Return the size of the document a row would become, as sent."""
        request = self._new_request()
        slot = type(request).pb(request).writes.add()
        write = Write(Action.CREATE, target.campaign_type, target.customer_id, target, None)
        self._fill(slot, write, as_of)
        return int(slot.ByteSize())

    def _get(self, campaign_type: str, customer_ids: Sequence[str]) -> Iterator[Any]:
        """Yield the raw documents there are, in no order."""
        names = [self._name(campaign_type, customer_id) for customer_id in customer_ids]
        for start in range(0, len(names), _READ_IDS):
            request = BatchGetDocumentsRequest(
                database=self._database.name, documents=names[start : start + _READ_IDS]
            )
            with service_errors(self._database, f"reading {campaign_type} targets"):
                for response in self._database.api.batch_get_documents(
                    request=request, metadata=self._database.metadata, timeout=_TIMEOUT_SECONDS
                ):
                    raw = type(response).pb(response)
                    if raw.HasField("found"):
                        yield raw.found

    def _new_request(self) -> BatchWriteRequest:
        return BatchWriteRequest(database=self._database.name)

    def _send(
        self, request: BatchWriteRequest, batch: list[Write]
    ) -> Iterator[tuple[Write, WriteResult | str]]:
        try:
            # The retry is ours (loader/sync.py): the library's would send again a write whose
            # outcome is unknown.
            response = self._database.api.batch_write(
                request=request,
                metadata=self._database.metadata,
                retry=None,
                timeout=_TIMEOUT_SECONDS,
            )
        except google_errors.GoogleAPICallError as error:
            status: Any = error.grpc_status_code
            code = status.value[0] if status else grpc.StatusCode.UNKNOWN.value[0]
            if code == _INVALID_ARGUMENT and len(batch) > 1:
                # One write that the service cannot read takes the whole request with it.
                yield from self._send_apart(request, batch)
                return
            for write in batch:
                yield write, _result(code)
            return
        for write, status in zip(batch, type(response).pb(response).status, strict=True):
            yield write, _result(status.code)

    def _send_apart(
        self, request: BatchWriteRequest, batch: list[Write]
    ) -> Iterator[tuple[Write, WriteResult | str]]:
        for raw, write in zip(type(request).pb(request).writes, batch, strict=True):
            alone = self._new_request()
            type(alone).pb(alone).writes.append(raw)
            yield from self._send(alone, [write])

    def _fill(self, raw: Any, write: Write, as_of: datetime) -> None:
        if write.document is None:
            raw.current_document.exists = False
        else:
            raw.current_document.update_time.FromDatetime(write.document.update_time)
        name = self._name(write.campaign_type, write.customer_id)
        if write.action is Action.WITHDRAW:
            raw.delete = name
            return
        assert write.target is not None
        fields = _fields(write.target, as_of)
        if write.action is Action.UPDATE:
            raw.update_mask.field_paths.extend(_PAYLOAD)
            fields = {name: fields[name] for name in _PAYLOAD}
        elif write.action is Action.REQUEUE:
            # Fields that the mask names and the document lacks are removed.
            raw.update_mask.field_paths.extend(_REQUEUED)
            fields = {name: fields[name] for name in (*_PAYLOAD, "status")}
        raw.update.name = name
        fill_fields(raw.update.fields, fields)

    def _name(self, campaign_type: str, customer_id: str) -> str:
        return self._database.path(
            "users", self._cnpj, "campaigns", campaign_type, "targets", customer_id
        )


def _fields(target: Target, as_of: datetime) -> dict[str, Any]:
    return {
        "cnpj": target.cnpj,
        "campaignType": target.campaign_type,
        "customerId": target.customer_id,
        "name": target.name,
        "phone": target.phone,
        "data": target.data,
        "status": Status.PENDING.value,
        "attempts": 0,
        "cycleKey": target.cycle_key,
        "cycleStart": target.cycle_start,
        "expiresAt": target.expires_at,
        "createdAt": as_of,
        "updatedAt": as_of,
    }


def _result(code: int) -> WriteResult | str:
    if code == 0:
        return WriteResult.DONE
    if code in _LOST_RACE:
        return WriteResult.LOST_RACE
    if code in _TRANSIENT:
        return WriteResult.UNKNOWN
    return f"Firestore refused the write with {_CODE_NAMES.get(code, code)}"


def _document(raw: Any) -> TargetDocument:
    fields = decode_fields(raw.fields)
    error = fields.get("lastError")
    return TargetDocument(
        customer_id=raw.name.rsplit("/", 1)[-1],
        update_time=decode_instant(raw.update_time),
        status=fields.get("status"),
        attempts=_count(fields.get("attempts")),
        name=fields.get("name"),
        phone=fields.get("phone"),
        data=fields.get("data"),
        cycle_key=fields.get("cycleKey"),
        cycle_start=_instant(fields, "cycleStart"),
        created_at=_instant(fields, "createdAt"),
        updated_at=_instant(fields, "updatedAt"),
        expires_at=_instant(fields, "expiresAt"),
        claimed_until=_instant(fields, "claimedUntil"),
        next_attempt_at=_instant(fields, "nextAttemptAt"),
        is_recoverable=not (isinstance(error, dict) and error.get("recoverable") is False),
    )


def _count(value: Any) -> int:
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return int(value) if is_number else 0


def _instant(fields: dict[str, Any], name: str) -> datetime | None:
    value = fields.get(name)
    return value if isinstance(value, datetime) else None
