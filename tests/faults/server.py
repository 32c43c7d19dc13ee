"""A Firestore server on the loopback interface that uses a backend, or fails by a plan.

Every method passes through unchanged unless the plan names it. The hook runs at every point between
the effects of calls. In split mode it also runs between the writes of one BatchWrite, which is not
atomic. At each point a test can let others act, or kill a process.
"""

from __future__ import annotations

import threading
from collections import Counter
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    BatchWriteRequest,
    BatchWriteResponse,
    RunQueryRequest,
    RunQueryResponse,
    WriteResult,
)

from tests.faults.backends import BIDIRECTIONAL, CHANNEL_OPTIONS, Call, RefusedCall

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from tests.faults.backends import Backend

__all__ = ["Fault", "FaultServer", "Moment", "Point", "Stall", "Traffic", "WriteFault", "serving"]

_METHODS = (
    "BatchGetDocuments",
    "BatchWrite",
    "BeginTransaction",
    "Commit",
    "CreateDocument",
    "DeleteDocument",
    "ExecutePipeline",
    "GetDocument",
    "ListCollectionIds",
    "ListDocuments",
    "Listen",
    "PartitionQuery",
    "Rollback",
    "RunAggregationQuery",
    "RunQuery",
    "UpdateDocument",
    "Write",
)
_EVERY = range(1, 1_000_000)


class Moment(Enum):
    """Where in a call."""

    BEFORE = auto()
    """The call has arrived, without any effect yet."""
    MIDDLE = auto()
    """In split mode: between two of its writes. Otherwise: between two of its replies."""
    AFTER = auto()
    """The call took effect, and its answer has not been sent yet."""


@dataclass(frozen=True)
class Point:
    """One point in one call."""

    method: str
    number: int
    """The number of the call of this method, counted from 1."""
    moment: Moment
    scope: str
    """The name of the first document or collection of the call."""


@dataclass(frozen=True)
class Fault:
    """A method's calls fail as a whole."""

    method: str
    moment: Moment
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    calls: Container[int] = (1,)


@dataclass(frozen=True)
class WriteFault:
    """Single writes of a BatchWrite are reported as failed in an otherwise good answer."""

    is_hit: Callable[[str], bool]
    """Told a document's name."""
    is_written: bool
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    calls: Container[int] = (1,)


@dataclass(frozen=True)
class Stall:
    """Calls are answered late."""

    method: str
    seconds: float
    calls: Container[int] = _EVERY


@dataclass
class Traffic:
    """What has passed."""

    calls: Counter[str] = field(default_factory=Counter)
    documents_read: int = 0
    writes: int = 0
    """Number of writes in all batches, whatever their result."""


class FaultServer:
    """Serves a backend's documents; plan, hook and observer can be set at any time."""

    def __init__(self, backend: Backend, *, is_split: bool = False) -> None:
        """Listen on a free port.

        Args:
            backend: The store of the documents.
            is_split: Pass on the writes of a BatchWrite one by one.

        """
        self.backend = backend
        self.plan: Sequence[Fault | WriteFault | Stall] = ()
        self.hook: Callable[[Point], None] = _nothing
        self.observer: Callable[[str, Callable[[], None]], None] = _let
        """In split mode: called with a document's name and a function that does its write."""
        self.traffic = Traffic()
        self.problems: list[Exception] = []
        """Errors that the test's own code raised during a call."""
        self._is_split = is_split
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(16), options=CHANNEL_OPTIONS)
        handlers = {method: self._handler(method) for method in _METHODS}
        service = "google.firestore.v1.Firestore"
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, handlers),)
        )
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        """Stop serving; raise any error of the hook or the observer."""
        self._closing.set()
        self._server.stop(None).wait()
        if self.problems:
            raise self.problems[0]

    def _handler(self, method: str) -> Any:
        def serve(request: Any, context: Any) -> Iterator[bytes]:
            metadata = tuple((item.key, item.value) for item in context.invocation_metadata())
            refusal = None
            try:
                yield from self._answer(Call(method, request, metadata))
            except RefusedCall as error:
                refusal = error
            except Exception as error:
                self.problems.append(error)
                raise
            if refusal is not None:
                context.abort(refusal.code, refusal.details)

        if method in BIDIRECTIONAL:
            return grpc.stream_stream_rpc_method_handler(serve)
        return grpc.unary_stream_rpc_method_handler(serve)

    def _answer(self, call: Call) -> Iterator[bytes]:
        with self._lock:
            self.traffic.calls[call.method] += 1
            number = self.traffic.calls[call.method]
        if call.method in BIDIRECTIONAL:
            yield from self.backend.answer(call)
            return
        scope = _scope(call)
        planned = [
            item
            for item in self.plan
            if getattr(item, "method", "BatchWrite") == call.method and number in item.calls
        ]
        faults = {item.moment: item for item in planned if isinstance(item, Fault)}

        def reach(moment: Moment) -> None:
            self.hook(Point(call.method, number, moment, scope))
            if moment in faults:
                raise RefusedCall(faults[moment].code, "by plan")

        reach(Moment.BEFORE)
        for item in planned:
            if isinstance(item, Stall):
                self._closing.wait(item.seconds)
        if call.method == "BatchWrite":
            hits = [item for item in planned if isinstance(item, WriteFault)]
            replies = [self._batch_write(call, hits, lambda: reach(Moment.MIDDLE))]
        else:
            replies = list(self.backend.answer(call))
        reach(Moment.AFTER)
        self._count(call.method, replies)
        for index, reply in enumerate(replies):
            if index:
                reach(Moment.MIDDLE)
            yield reply

    def _batch_write(
        self, call: Call, hits: Sequence[WriteFault], between: Callable[[], None]
    ) -> bytes:
        """Return the reply of a BatchWrite whose writes can be held back or misreported."""
        request = BatchWriteRequest.pb().FromString(call.request)
        with self._lock:
            self.traffic.writes += len(request.writes)
        names = [_name(write) for write in request.writes]
        if not hits and (not self._is_split or len(set(names)) < len(names)):
            (reply,) = self.backend.answer(call)
            return bytes(reply)
        answer = BatchWriteResponse.pb()()
        for index, (name, write) in enumerate(zip(names, request.writes, strict=True)):
            if index:
                between()
            alone = BatchWriteRequest.pb()(database=request.database, writes=[write])
            hit = next((item for item in hits if item.is_hit(name)), None)
            reply = BatchWriteResponse.pb()()
            if hit is None or hit.is_written:
                self._write(
                    name, Call(call.method, alone.SerializeToString(), call.metadata), reply
                )
            answer.write_results.add().MergeFrom(next(iter(reply.write_results), _NO_RESULT))
            status = answer.status.add()
            status.MergeFrom(next(iter(reply.status), _NO_STATUS))
            if hit is not None:
                status.code = hit.code.value[0]
        return bytes(answer.SerializeToString())

    def _write(self, name: str, call: Call, reply: Any) -> None:
        def write() -> None:
            (raw,) = self.backend.answer(call)
            reply.ParseFromString(raw)

        with self._lock:
            self.observer(name, write)

    def _count(self, method: str, replies: Sequence[bytes]) -> None:
        if method not in _DOCUMENT_OF:
            return
        type_, field_name = _DOCUMENT_OF[method]
        found = sum(type_.pb().FromString(reply).HasField(field_name) for reply in replies)
        with self._lock:
            self.traffic.documents_read += found


_NO_RESULT, _NO_STATUS = WriteResult.pb()(), BatchWriteResponse.pb()().status.add()
_DOCUMENT_OF: dict[str, tuple[Any, str]] = {
    "BatchGetDocuments": (BatchGetDocumentsResponse, "found"),
    "RunQuery": (RunQueryResponse, "document"),
}


@contextmanager
def serving(backend: Backend, *, is_split: bool = False) -> Iterator[FaultServer]:
    """Serve during the block."""
    server = FaultServer(backend, is_split=is_split)
    try:
        yield server
    finally:
        server.close()


def _nothing(_point: Point) -> None:
    pass


def _let(_name: str, write: Callable[[], None]) -> None:
    write()


def _name(write: Any) -> str:
    return str(write.update.name or write.delete)


def _scope(call: Call) -> str:
    match call.method:
        case "RunQuery":
            return str(RunQueryRequest.pb().FromString(call.request).parent)
        case "BatchGetDocuments":
            return str(next(iter(BatchGetDocumentsRequest.pb().FromString(call.request).documents)))
        case "BatchWrite":
            return _name(next(iter(BatchWriteRequest.pb().FromString(call.request).writes)))
        case _:
            return ""
