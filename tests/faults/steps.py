"""Sync and track step by step: at each of their points others go on, and Firestore may fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.firestore_v1.types import BatchWriteRequest, BatchWriteResponse, WriteResult
from greenlet import getcurrent, greenlet

from tests.faults.backends import Call, RefusedCall
from tests.faults.documents import OWNER
from tests.whatsapp.sending.connections import rpc_error

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Iterator

    from tests.faults.backends import Backend

__all__ = ["StepFaults", "SteppedChannel", "stepped"]

_CODES = (
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "RESOURCE_EXHAUSTED",
    "INTERNAL",
    "PERMISSION_DENIED",
)
_MANY = 4


class StepFaults:
    """Errors of Firestore towards one run of sync or track."""

    def __init__(self, rng: random.Random, chance: float) -> None:
        """Let a share of the calls and of the single writes fail; 0: none."""
        self._rng, self._chance = rng, chance
        self.happened: list[str] = []

    def of_call(self, method: str, moment: str) -> None:
        """Raise, or do nothing, before a call takes effect or after it."""
        if self._strikes():
            code = grpc.StatusCode[self._rng.choice(_CODES)]
            self.happened.append(f"{code.name} {moment} {method}")
            raise rpc_error(code)

    def of_write(self) -> tuple[grpc.StatusCode, bool] | None:
        """Return the status that one write is said to have, and whether it takes effect."""
        if not self._strikes():
            return None
        code, is_written = grpc.StatusCode[self._rng.choice(_CODES)], self._rng.random() < 0.5
        self.happened.append(f"{code.name} for a write, written: {is_written}")
        return code, is_written

    def _strikes(self) -> bool:
        # With more of them, the run would do nothing but try again.
        return len(self.happened) < _MANY and self._rng.random() < self._chance


class SteppedChannel:
    """As much of a `grpc.Channel` as sync uses.

    Before and after each call, and between the writes of a batch, it waits to go on.
    """

    def __init__(
        self,
        backend: Backend,
        point: Callable[[str, str], None],
        *,
        faults: StepFaults | None = None,
        observer: Callable[[str, Callable[[], None]], None] | None = None,
    ) -> None:
        """Pass all calls on to a backend.

        Args:
            backend: The store of the documents.
            point: Told a method, and "before", "between" or "after".
            faults: What fails.
            observer: Called with a document's name and a function that does its write.

        """
        self._backend, self._point, self._faults = backend, point, faults
        self._observer = observer or (lambda _name, write: write())

    def unary_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None
    ) -> Any:
        answers = self._answers

        class _Call:
            def future(self, request: Any, **_: Any) -> Any:
                return _Future(lambda: answers(method, request, request_serializer))

        class _Future:
            def __init__(self, answer: Callable[[], list[bytes]]) -> None:
                self._answer = answer

            def result(self) -> Any:
                (reply,) = self._answer()
                return response_deserializer(reply)

        return _Call()

    def unary_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None
    ) -> Any:
        def call(request: Any, **_: Any) -> Iterator[Any]:
            for reply in self._answers(method, request, request_serializer):
                yield response_deserializer(reply)

        return call

    def _answers(self, path: str, request: Any, serializer: Any) -> list[bytes]:
        method = path.rsplit("/", 1)[1]
        raw = serializer(request) if serializer else request
        self._reach(method, "before")
        try:
            if method == "BatchWrite":
                replies = [self._batch_write(raw)]
            else:
                replies = list(self._backend.answer(Call(method, raw, OWNER)))
        except RefusedCall as refusal:
            raise rpc_error(refusal.code) from refusal
        self._reach(method, "after")
        return replies

    def _reach(self, method: str, moment: str) -> None:
        self._point(method, moment)
        if self._faults is not None:
            self._faults.of_call(method, moment)

    def _batch_write(self, raw: bytes) -> bytes:
        """Do the writes one by one: a batch is not atomic."""
        request = BatchWriteRequest.pb().FromString(raw)
        answer = BatchWriteResponse.pb()()
        for number, write in enumerate(request.writes):
            if number:
                self._point("BatchWrite", "between")
            fault = self._faults.of_write() if self._faults is not None else None
            reply = BatchWriteResponse.pb()(write_results=[WriteResult.pb()()], status=[{}])
            if fault is None or fault[1]:
                self._write(request.database, write, reply)
            if fault is not None:
                reply.status[0].code = fault[0].value[0]
            answer.MergeFrom(reply)
        return bytes(answer.SerializeToString())

    def _write(self, database: str, write: Any, reply: Any) -> None:
        alone = BatchWriteRequest.pb()(database=database, writes=[write])

        def do() -> None:
            (raw,) = self._backend.answer(Call("BatchWrite", alone.SerializeToString(), OWNER))
            reply.ParseFromString(raw)

        self._observer(str(write.update.name or write.delete), do)


async def stepped(
    work: Callable[[Callable[[str, str], None]], Any], between: Callable[[], Awaitable[None]]
) -> Any:
    """Run something that blocks, and let the others go on at each of its points.

    Args:
        work: Given what to call at each point.
        between: What happens there; the loop stands still everywhere else.

    Returns:
        What the work returns.

    """
    caller = getcurrent()
    # No thread: two that take turns wait for each other most of the time.
    worker = greenlet(lambda: work(lambda _what, _moment: caller.switch()))
    result = worker.switch()
    while not worker.dead:
        await between()
        result = worker.switch()
    return result
