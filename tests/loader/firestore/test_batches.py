"""BatchWrite requests: how many in parallel, how large, and what each answer means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.cloud.firestore_v1.types import BatchWriteRequest, BatchWriteResponse

from loader.base.errors import ServiceError
from loader.base.pace import Pace
from loader.firestore.batches import BatchWriter
from loader.firestore.client import Database
from loader.firestore.wire import delimited
from loader.sync.ports import WriteResult
from tests.loader.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE = 1024 * 1024


class _RpcError(grpc.RpcError):  # type: ignore[misc] # gRPC has no types
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "details that may quote a document"

    def trailing_metadata(self) -> tuple[()]:
        return ()


@dataclass
class FakeChannel:
    """Answers BatchWrite, and remembers the requests and how many were open at once."""

    answers: list[Any] = field(default_factory=list)
    """One per request: a status code for all, or a list of codes per write; else all succeed."""
    refused: bytes = b""
    """A request with a document of this name is invalid."""
    requests: list[BatchWriteRequest] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    def unary_unary(self, method: str, **_: Any) -> FakeChannel:
        assert method == "/google.firestore.v1.Firestore/BatchWrite"
        return self

    def future(self, message: bytes, *, metadata: Any, timeout: float) -> FakeCall:
        assert timeout > 0
        assert ("x-goog-request-params", "database=projects/p/databases/%28default%29") in metadata
        self.requests.append(BatchWriteRequest.deserialize(message))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        return FakeCall(self, self.requests[-1], self.answers.pop(0) if self.answers else None)


@dataclass
class FakeCall:
    channel: FakeChannel
    request: BatchWriteRequest
    answer: Any

    def result(self) -> Any:
        self.channel.under_way -= 1
        deletes = [write.delete.encode() for write in self.request.writes]
        if self.channel.refused and self.channel.refused in deletes:
            raise _RpcError(grpc.StatusCode.INVALID_ARGUMENT)
        if isinstance(self.answer, grpc.StatusCode):
            raise _RpcError(self.answer)
        codes = self.answer or [grpc.StatusCode.OK] * len(deletes)
        statuses = [{"code": code.value[0]} for code in codes]
        return BatchWriteResponse.pb(BatchWriteResponse(status=statuses))


def _writer(channel: FakeChannel, pace: Pace | None = None) -> BatchWriter:
    root = "projects/p/databases/(default)/documents"
    api: Any = None
    return BatchWriter(Database(api, root, channel, (), "a fake Firestore"), pace)


def _delete(name: str) -> bytes:
    return delimited(b"\x12", name.encode())


def _parts(count: int, size: int = 10, name: str = "") -> list[list[tuple[int, bytes]]]:
    writes = [(number, _delete(name or f"d{number}")) for number in range(count)]
    return [writes[start : start + size] for start in range(0, count, size)]


def test_results_come_in_the_order_of_the_writes_and_name_each_once() -> None:
    channel = FakeChannel()
    results = list(_writer(channel).send(_parts(95)))
    assert results == [(number, WriteResult.DONE) for number in range(95)]
    assert [len(request.writes) for request in channel.requests] == [10] * 9 + [5]
    assert {request.database for request in channel.requests} == {"projects/p/databases/(default)"}


def test_several_requests_are_under_way_but_never_more_than_four() -> None:
    channel = FakeChannel()
    for _ in _writer(channel).send(_parts(200)):
        pass
    assert channel.most_under_way == 4


def test_parts_are_taken_only_as_there_is_room_for_them() -> None:
    taken = []

    def parts() -> Iterator[list[tuple[int, bytes]]]:
        for part in _parts(200):
            taken.append(part)
            yield part

    results = _writer(FakeChannel()).send(parts())
    next(results)
    assert len(taken) == 5


def test_a_request_stays_below_the_four_mebibytes_that_the_emulator_takes() -> None:
    channel = FakeChannel()
    large = "x" * (MEBIBYTE - 5_000)
    results = list(_writer(channel).send(_parts(20, size=20, name=large)))
    assert len(results) == 20
    sizes = [len(BatchWriteRequest.serialize(request)) for request in channel.requests]
    assert max(sizes) < 4 * MEBIBYTE
    assert min(sizes[:-1]) > 2 * MEBIBYTE


def test_writes_are_counted_and_paced_before_they_are_sent() -> None:
    clock = FakeClock()
    writer = _writer(FakeChannel(), Pace(10, clock=clock, sleep=clock.sleep))
    list(writer.send(_parts(30)))
    assert writer.sent == 30
    assert clock.sleeps == [1.0, 1.0]


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (grpc.StatusCode.ALREADY_EXISTS, WriteResult.LOST_RACE),
        (grpc.StatusCode.FAILED_PRECONDITION, WriteResult.LOST_RACE),
        (grpc.StatusCode.NOT_FOUND, WriteResult.LOST_RACE),
        (grpc.StatusCode.ABORTED, WriteResult.UNKNOWN),
        (grpc.StatusCode.UNAVAILABLE, WriteResult.UNKNOWN),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, WriteResult.UNKNOWN),
        (
            grpc.StatusCode.PERMISSION_DENIED,
            "Firestore refused the write with PERMISSION_DENIED",
        ),
    ],
)
def test_a_write_that_fails_inside_a_good_answer_fails_alone(
    code: grpc.StatusCode, result: WriteResult | str
) -> None:
    channel = FakeChannel([[grpc.StatusCode.OK, code, grpc.StatusCode.OK]])
    results = list(_writer(channel).send(_parts(3)))
    assert results == [(0, WriteResult.DONE), (1, result), (2, WriteResult.DONE)]


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    ],
)
def test_a_request_without_an_answer_leaves_all_its_writes_unknown_and_is_not_repeated(
    code: grpc.StatusCode,
) -> None:
    channel = FakeChannel([None, code])
    results = dict(_writer(channel).send(_parts(30)))
    assert [number for number, result in results.items() if result is WriteResult.UNKNOWN] == list(
        range(10, 20)
    )
    assert len(channel.requests) == 3


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED]
)
def test_a_refusal_of_the_program_is_an_error_without_the_services_own_words(
    code: grpc.StatusCode,
) -> None:
    results = list(_writer(FakeChannel([code])).send(_parts(2)))
    assert [number for number, _ in results] == [0, 1]
    for _, error in results:
        assert isinstance(error, ServiceError)
        assert code.name in error.message
        assert "docs/real-project.md" in error.hint
        assert "quote" not in str(error)


def test_one_write_that_the_service_cannot_read_fails_alone() -> None:
    channel = FakeChannel(refused=b"d7")
    results = dict(_writer(channel).send(_parts(100, size=100)))
    refused = results.pop(7)
    assert refused == "Firestore refused the write with INVALID_ARGUMENT"
    assert set(results.values()) == {WriteResult.DONE}
    assert len(results) == 99
    assert len(channel.requests) < 20
