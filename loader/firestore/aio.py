"""Firestore without threads, for programs that have many calls under way at a time.

It has the same channel options, metadata and errors as `loader.firestore.client`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import grpc
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    CommitResponse,
    RunQueryRequest,
    RunQueryResponse,
)

from loader.base.errors import ConfigurationError, ServiceError
from loader.firestore.client import (
    CHANNEL_OPTIONS,
    NO_CREDENTIALS,
    emulator_metadata,
    routing,
    routing_header,
    translated,
)
from loader.firestore.values import decode_instant
from loader.firestore.wire import SERVER_TIME, delimited, encode_fields, encode_instant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from loader.base.environment import Environment

__all__ = ["AsyncDatabase", "LostRaceError", "connect_async", "encoded_delete", "encoded_write"]

_SERVICE = "/google.firestore.v1.Firestore"
_TIMEOUT_SECONDS = 20.0
_STREAM_TIMEOUT_SECONDS = 300.0
_LOST_RACE = {
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
}

# Field numbers of google.firestore.v1 with their wire type:
# https://github.com/googleapis/googleapis/tree/master/google/firestore/v1
_COMMIT_DATABASE, _COMMIT_WRITE = b"\x0a", b"\x12"
_WRITE_UPDATE, _WRITE_DELETE = b"\x0a", b"\x12"
_WRITE_MASK, _WRITE_PRECONDITION, _WRITE_TRANSFORM = b"\x1a", b"\x22", b"\x3a"
_DOCUMENT_NAME, _MASK_PATH = b"\x0a", b"\x0a"
_IS_NEW = delimited(_WRITE_PRECONDITION, b"\x08\x00")
_PRECONDITION_TIME = b"\x12"
_KEPT_NAMES = 1024
# REQUEST_TIME is the only server value.
_TRANSFORM_PATH, _TO_REQUEST_TIME = b"\x0a", b"\x10\x01"


class LostRaceError(ServiceError):
    """A precondition was not met, so nothing of the commit was written."""


@dataclass(frozen=True)
class AsyncDatabase:
    """A connection for one event loop, and the names that it needs."""

    root: str
    """``projects/…/databases/(default)/documents``."""
    channel: Any
    """A `grpc.aio.Channel`."""
    metadata: tuple[tuple[str, str], ...]
    address: str
    """For error messages."""

    @property
    def name(self) -> str:
        """Return ``projects/…/databases/(default)``."""
        return self.root.removesuffix("/documents")

    def path(self, *segments: str) -> str:
        """Return the full name of a document or collection."""
        return "/".join((self.root, *segments))

    async def query(self, request: RunQueryRequest, doing: str) -> AsyncIterator[Any]:
        """Yield the raw documents that a query finds.

        Raises:
            ServiceError: Firestore does not answer as it should.

        """
        call = self.channel.unary_stream(
            f"{_SERVICE}/RunQuery",
            request_serializer=RunQueryRequest.serialize,
            response_deserializer=RunQueryResponse.pb().FromString,
        )
        metadata = (*self.metadata, routing_header("parent", request.parent))
        try:
            async for response in call(request, metadata=metadata, timeout=_STREAM_TIMEOUT_SECONDS):
                if response.HasField("document"):
                    yield response.document
        except grpc.RpcError as error:
            raise translated(self, doing, error) from error

    async def get(
        self, names: Sequence[str], doing: str, *, fields: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Return the raw documents that exist, by name.

        Args:
            names: Full names.
            doing: What is being done, for errors.
            fields: The fields to read; None: all.

        Raises:
            ServiceError: Firestore does not answer as it should.

        """
        call = self.channel.unary_stream(
            f"{_SERVICE}/BatchGetDocuments",
            request_serializer=BatchGetDocumentsRequest.serialize,
            response_deserializer=BatchGetDocumentsResponse.pb().FromString,
        )
        mask = {"field_paths": fields} if fields is not None else None
        request = BatchGetDocumentsRequest(database=self.name, documents=names, mask=mask)
        metadata = (*self.metadata, routing_header("database", self.name))
        found: dict[str, Any] = {}
        answered = 0
        try:
            async for response in call(request, metadata=metadata, timeout=_TIMEOUT_SECONDS):
                if response.HasField("found"):
                    found[response.found.name] = response.found
                answered += response.HasField("found") or bool(response.missing)
        except grpc.RpcError as error:
            raise translated(self, doing, error) from error
        if answered < len(set(names)):
            message = f"{doing}: {self.address} broke off"
            raise ServiceError(message, is_transient=True)
        return found

    async def commit(self, writes: Sequence[bytes], doing: str) -> list[datetime]:
        """Write all or nothing, and return the update time of each document.

        It is not retried here: after a transient error it is not known whether it was written.

        Raises:
            LostRaceError: A precondition was not met; nothing was written.
            ServiceError: Firestore does not answer as it should.

        """
        call = self.channel.unary_unary(
            f"{_SERVICE}/Commit", response_deserializer=CommitResponse.pb().FromString
        )
        request = b"".join(
            (
                delimited(_COMMIT_DATABASE, self.name.encode()),
                *(delimited(_COMMIT_WRITE, write) for write in writes),
            )
        )
        metadata = (*self.metadata, routing_header("database", self.name))
        try:
            response = await call(request, metadata=metadata, timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            if error.code() in _LOST_RACE:
                message = f"{doing}: somebody else was faster"
                raise LostRaceError(message) from error
            raise translated(self, doing, error) from error
        return [decode_instant(result.update_time) for result in response.write_results]

    async def close(self) -> None:
        """Close the connection."""
        await self.channel.close()


def encoded_write(
    name: str,
    fields: Mapping[str, Any],
    *,
    update_time: datetime | None = None,
    is_new: bool = False,
) -> bytes:
    """Return a write of fields; a field with None is removed, fields not given stay.

    Args:
        name: The document's full name.
        fields: The values; `SERVER_TIME` becomes Firestore's time of the write.
        update_time: Precondition: the document's last write was at this instant.
        is_new: Precondition: the document does not exist.

    """
    kept, masked = {}, []
    write = b""
    for key, value in fields.items():
        if value is SERVER_TIME:
            write += _transform(key)
            continue
        masked.append(_mask_path(key))
        if value is not None:
            kept[key] = value
    document = delimited(_DOCUMENT_NAME, name.encode()) + encode_fields(kept)
    write += delimited(_WRITE_UPDATE, document)
    if is_new:
        return write + _IS_NEW
    write += delimited(_WRITE_MASK, b"".join(masked))
    if update_time is None:
        return write
    time = delimited(_PRECONDITION_TIME, encode_instant(update_time))
    return write + delimited(_WRITE_PRECONDITION, time)


@lru_cache(_KEPT_NAMES)
def _transform(path: str) -> bytes:
    to_now = delimited(_TRANSFORM_PATH, path.encode()) + _TO_REQUEST_TIME
    return delimited(_WRITE_TRANSFORM, to_now)


@lru_cache(_KEPT_NAMES)
def _mask_path(path: str) -> bytes:
    return delimited(_MASK_PATH, path.encode())


def encoded_delete(name: str) -> bytes:
    """Return a write that deletes a document; a missing document is not an error."""
    return delimited(_WRITE_DELETE, name.encode())


def connect_async(environment: Environment) -> AsyncDatabase:
    """Return a connection for the running event loop; nothing is sent yet.

    Raises:
        ConfigurationError: There are no credentials for the real service.

    """
    root = f"projects/{environment.project}/databases/(default)/documents"
    host = environment.firestore_host
    if host is None:
        try:
            channel = FirestoreGrpcAsyncIOTransport.create_channel(
                FirestoreAsyncClient.DEFAULT_ENDPOINT, options=CHANNEL_OPTIONS
            )
        except GoogleAuthError as error:
            message = "no credentials for Firestore"
            raise ConfigurationError(message, hint=NO_CREDENTIALS) from error
        return AsyncDatabase(root, channel, routing(root), "Firestore")
    channel = grpc.aio.insecure_channel(host, options=CHANNEL_OPTIONS)
    address = f"the Firestore emulator at {host}"
    return AsyncDatabase(root, channel, emulator_metadata(root), address)
