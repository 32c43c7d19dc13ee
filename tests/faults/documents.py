"""A laundromat's documents as Firestore has them, read and written without faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1._helpers import encode_dict
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    BatchWriteRequest,
    BatchWriteResponse,
    RunQueryRequest,
    RunQueryResponse,
    Value,
)

from loader.firestore.values import decode_fields
from tests.faults.backends import Call

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tests.faults.backends import Backend

__all__ = ["OWNER", "Documents", "Found", "fill_fields"]

OWNER = (("authorization", "Bearer owner"),)
"""Google's emulator takes this for whoever may do everything."""


@dataclass(frozen=True)
class Found:
    """A document as read."""

    name: str
    fields: dict[str, Any]
    update_time: Any

    @property
    def campaign_type(self) -> str:
        return self.name.split("/")[-3]

    @property
    def customer_id(self) -> str:
        return self.name.split("/")[-1]

    @property
    def is_open(self) -> bool:
        """Whether an attempt has no outcome yet."""
        log = self.fields.get("attemptLog", [])
        return bool(log) and log[-1]["status"] == "SENDING"


class Documents:
    """The documents of one laundromat."""

    def __init__(self, backend: Backend, project: str, cnpj: str) -> None:
        self._backend = backend
        self._database = f"projects/{project}/databases/(default)"
        self._user = f"{self._database}/documents/users/{cnpj}"
        self.root = f"{self._user}/campaigns"

    def all(self, campaign_types: Collection[str]) -> list[Found]:
        """Return all targets of these campaigns, by name."""
        return [
            found
            for campaign_type in campaign_types
            for found in self._in(f"{self.root}/{campaign_type}", "targets")
        ]

    def sends(self) -> list[Found]:
        """Return all attempts."""
        return self._in(self._user, "sends")

    def suppressions(self) -> list[Found]:
        """Return who must not be written to."""
        return self._in(self._user, "suppressions")

    def suppressed_keys(self) -> set[str]:
        """Return the keys of all suppressions that hold."""
        return {
            key
            for found in self.suppressions()
            if "resumedAt" not in found.fields
            for key in found.fields["keys"]
        }

    def _in(self, parent: str, collection_id: str) -> list[Found]:
        request = RunQueryRequest(
            parent=parent, structured_query={"from_": [{"collection_id": collection_id}]}
        )
        replies = map(RunQueryResponse.pb().FromString, self._answer("RunQuery", request))
        return [_found(reply.document) for reply in replies if reply.HasField("document")]

    def get(self, name: str) -> Found | None:
        request = BatchGetDocumentsRequest(database=self._database, documents=[name])
        (raw,) = self._answer("BatchGetDocuments", request)
        reply = BatchGetDocumentsResponse.pb().FromString(raw)
        return _found(reply.found) if reply.HasField("found") else None

    def update(self, found: Found, fields: Mapping[str, Any]) -> bool:
        """Change fields of the document as it was read; False: another write came first."""
        request = BatchWriteRequest(database=self._database)
        write = BatchWriteRequest.pb(request).writes.add()
        write.update.name = found.name
        write.update_mask.field_paths.extend(fields)
        fill_fields(write.update.fields, fields)
        return self._write(request, found)

    def delete(self, found: Found) -> bool:
        """Delete the document as it was read; False: another write came first."""
        request = BatchWriteRequest(database=self._database)
        BatchWriteRequest.pb(request).writes.add().delete = found.name
        return self._write(request, found)

    def put(self, campaign_type: str, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """Write a campaign's documents, by customer id, without preconditions."""
        request = BatchWriteRequest(database=self._database)
        for customer_id, fields in documents.items():
            write = BatchWriteRequest.pb(request).writes.add()
            write.update.name = f"{self.root}/{campaign_type}/targets/{customer_id}"
            fill_fields(write.update.fields, fields)
        assert self._write(request, None)

    def _write(self, request: Any, found: Found | None) -> bool:
        raw = BatchWriteRequest.pb(request)
        if found is not None:
            raw.writes[0].current_document.update_time.CopyFrom(found.update_time)
        (reply,) = self._answer("BatchWrite", request)
        return int(BatchWriteResponse.pb().FromString(reply).status[0].code) == 0

    def _answer(self, method: str, request: Any) -> list[bytes]:
        serialized = type(request).pb(request).SerializeToString()
        return list(self._backend.answer(Call(method, serialized, OWNER)))


def fill_fields(fields: Any, values: Mapping[str, Any]) -> None:
    """Write values into a raw document's fields, with Google's own encoder."""
    for name, value in encode_dict(values).items():
        fields[name].CopyFrom(Value.pb(value))


def _found(raw: Any) -> Found:
    return Found(raw.name, decode_fields(raw.fields), raw.update_time)
