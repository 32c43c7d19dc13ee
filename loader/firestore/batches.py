"""BatchWrite: sends encoded writes, several requests at the same time.

There is no retry here: after a failed request, `loader.sync.write` reads the documents back to find
out which writes took effect. The library's own retry could repeat writes that took effect.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc
from google.cloud.firestore_v1.types import BatchWriteResponse

from loader.firestore.client import translated
from loader.firestore.wire import delimited
from loader.sync.ports import WriteResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loader.base.errors import ServiceError
    from loader.base.pace import Pace
    from loader.firestore.client import Database

__all__ = ["REQUEST_WRITES", "BatchWriter"]

# Writes per request; larger ones are split by bytes.
REQUEST_WRITES = 500
# Bytes per request. The service takes 10 MiB; Google's emulator refuses more than 4 MiB. The last
# write of a request can itself have nearly 1 MiB.
_FULL_REQUEST_BYTES = 3 * 1024 * 1024
_REQUESTS_UNDER_WAY = 4
_TIMEOUT_SECONDS = 60.0

_REQUEST_DATABASE, _REQUEST_WRITE = b"\x0a", b"\x12"

_INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT.value[0]
_LOST_RACE = {
    grpc.StatusCode.ALREADY_EXISTS.value[0],
    grpc.StatusCode.FAILED_PRECONDITION.value[0],
    grpc.StatusCode.NOT_FOUND.value[0],
}
_TRANSIENT = {
    grpc.StatusCode.ABORTED.value[0],
    grpc.StatusCode.CANCELLED.value[0],
    grpc.StatusCode.DEADLINE_EXCEEDED.value[0],
    grpc.StatusCode.INTERNAL.value[0],
    grpc.StatusCode.RESOURCE_EXHAUSTED.value[0],
    grpc.StatusCode.UNAVAILABLE.value[0],
    grpc.StatusCode.UNKNOWN.value[0],
}
_CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

WriteT = TypeVar("WriteT")


class _Request(Generic[WriteT]):
    """A request under way, and the writes it carries."""

    def __init__(self, writes: list[tuple[WriteT, bytes]], call: Any) -> None:
        self.writes = writes
        self.call = call


class BatchWriter:
    """Sends encoded writes to one database."""

    def __init__(self, database: Database, pace: Pace | None) -> None:
        """Use a connection; ``pace`` limits the writes per second, None does not."""
        self.sent = 0
        """Writes sent so far, repeated ones included."""
        self._database = database
        self._pace = pace
        self._call = database.channel.unary_unary(
            "/google.firestore.v1.Firestore/BatchWrite",
            response_deserializer=BatchWriteResponse.pb().FromString,
        )
        self._metadata = database.routed("database", database.name)
        self._head = delimited(_REQUEST_DATABASE, database.name.encode())

    def send(
        self, parts: Iterable[list[tuple[WriteT, bytes]]]
    ) -> Iterator[tuple[WriteT, WriteResult | str | ServiceError]]:
        """Send writes as they come and yield what became of each, in the same order.

        Args:
            parts: Encoded writes. A part is taken when there is room for it. It becomes one
                request, or several if it is large.

        Yields:
            The write and its result. A text is the reason why this write was refused. An error
            means that this program may not write at all.

        """
        under_way: deque[_Request[WriteT]] = deque()
        for part in parts:
            for batch in _batches(part):
                if len(under_way) == _REQUESTS_UNDER_WAY:
                    yield from self._results(under_way.popleft())
                under_way.append(self._start(batch))
        while under_way:
            yield from self._results(under_way.popleft())

    def _start(self, batch: list[tuple[WriteT, bytes]]) -> _Request[WriteT]:
        if self._pace is not None:
            self._pace.wait(len(batch))
        self.sent += len(batch)
        self._database.traffic.add_writes(len(batch))
        writes = [delimited(_REQUEST_WRITE, encoded) for _, encoded in batch]
        message = b"".join((self._head, *writes))
        call = self._call.future(message, metadata=self._metadata, timeout=_TIMEOUT_SECONDS)
        return _Request(batch, call)

    def _results(
        self, request: _Request[WriteT]
    ) -> Iterator[tuple[WriteT, WriteResult | str | ServiceError]]:
        try:
            statuses = request.call.result().status
        except grpc.RpcError as error:
            yield from self._without_response(request, error)
            return
        for (write, _), status in zip(request.writes, statuses, strict=True):
            yield write, _result(status.code)

    def _without_response(
        self, request: _Request[WriteT], error: grpc.RpcError
    ) -> Iterator[tuple[WriteT, WriteResult | str | ServiceError]]:
        code = error.code().value[0]
        if code == _INVALID_ARGUMENT and len(request.writes) > 1:
            # If the service cannot parse one write, it refuses the whole request.
            middle = len(request.writes) // 2
            for half in (request.writes[:middle], request.writes[middle:]):
                yield from self._results(self._start(half))
            return
        result: WriteResult | str | ServiceError = (
            _result(code)
            if code == _INVALID_ARGUMENT or code in _TRANSIENT
            else translated(self._database, "writing targets", error)
        )
        for write, _ in request.writes:
            yield write, result


def _batches(part: list[tuple[WriteT, bytes]]) -> Iterator[list[tuple[WriteT, bytes]]]:
    if sum(len(encoded) for _, encoded in part) < _FULL_REQUEST_BYTES:
        yield part
        return
    batch: list[tuple[WriteT, bytes]] = []
    size = 0
    for item in part:
        batch.append(item)
        size += len(item[1])
        if size >= _FULL_REQUEST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _result(code: int) -> WriteResult | str:
    if code == 0:
        return WriteResult.DONE
    if code in _LOST_RACE:
        return WriteResult.LOST_RACE
    if code in _TRANSIENT:
        return WriteResult.UNKNOWN
    return f"Firestore refused the write with {_CODE_NAMES.get(code, code)}"
