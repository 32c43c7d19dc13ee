"""Transactions of the embedded Firestore and of Google's emulator: who waits, and who fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    CommitRequest,
    RollbackRequest,
    RunQueryRequest,
    RunQueryResponse,
)

from tests.faults.backends import Call, EmulatorBackend, RefusedCall
from tests.faults.documents import OWNER
from tests.faults.memory import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.backends import Backend

_DATABASE = "projects/transactions/databases/(default)"
_WAIT_SECONDS = 0.3


class Client:
    """Calls one of the two, about one document."""

    def __init__(self, backend: Backend, collection: str) -> None:
        self._backend = backend
        self._parent = f"{_DATABASE}/documents/users/{collection}"
        self.name = f"{self._parent}/targets/a"

    def call(self, request: Any) -> list[bytes]:
        method = type(request).__name__.removesuffix("Request")
        return list(self._backend.answer(Call(method, type(request).serialize(request), OWNER)))

    def begin_by_reading(self) -> bytes:
        """Begin a transaction by reading the document; return its id."""
        request = BatchGetDocumentsRequest(
            database=_DATABASE, documents=[self.name], new_transaction={"read_write": {}}
        )
        replies = [BatchGetDocumentsResponse.deserialize(raw) for raw in self.call(request)]
        return next(bytes(reply.transaction) for reply in replies if reply.transaction)

    def begin_by_asking(self) -> bytes:
        """Begin a transaction by a query that could find the document; return its id."""
        request = RunQueryRequest(
            parent=self._parent,
            structured_query={"from_": [{"collection_id": "targets"}]},
            new_transaction={"read_write": {}},
        )
        replies = [RunQueryResponse.deserialize(raw) for raw in self.call(request)]
        return next(bytes(reply.transaction) for reply in replies if reply.transaction)

    def write(self, number: int, transaction: bytes = b"") -> str:
        """Write the document; return the status."""
        request = CommitRequest(
            database=_DATABASE,
            transaction=transaction,
            writes=[{"update": {"name": self.name, "fields": {"n": {"integer_value": number}}}}],
        )
        try:
            self.call(request)
        except RefusedCall as refusal:
            return str(refusal.code.name)
        return "OK"

    def number(self) -> int:
        request = BatchGetDocumentsRequest(database=_DATABASE, documents=[self.name])
        (raw,) = self.call(request)
        found = BatchGetDocumentsResponse.deserialize(raw).found
        return int(found.fields["n"].integer_value)


@pytest.fixture(params=["google", "embedded"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    collection = request.node.name
    if request.param == "embedded":
        yield Client(MemoryBackend(), collection)
        return
    with closing(EmulatorBackend(request.getfixturevalue("google_firestore"))) as emulator:
        yield Client(emulator, collection)


@pytest.mark.parametrize("begin", [Client.begin_by_reading, Client.begin_by_asking])
def test_a_write_waits_for_a_transaction_that_has_read(client: Client, begin: Any) -> None:
    assert client.write(1) == "OK"
    transaction = begin(client)
    with ThreadPoolExecutor() as others:
        other = others.submit(client.write, 2)
        with pytest.raises(TimeoutError):
            other.result(timeout=_WAIT_SECONDS)
        assert client.write(3, transaction) == "OK"
        assert other.result(timeout=30) == "OK"
    assert client.number() == 2


def test_of_two_transactions_that_have_read_at_most_one_can_write(client: Client) -> None:
    assert client.write(1) == "OK"
    one, other = client.begin_by_reading(), client.begin_by_reading()
    with ThreadPoolExecutor() as others:
        first = others.submit(client.write, 2, one)
        second = others.submit(client.write, 3, other)
        statuses = [first.result(timeout=60), second.result(timeout=60)]
    # Google's emulator sometimes lets both fail.
    assert sorted(statuses) in (["ABORTED", "OK"], ["ABORTED", "ABORTED"])
    written = [number for number, status in zip((2, 3), statuses, strict=True) if status == "OK"]
    assert client.number() == (written[0] if written else 1)


def test_a_transaction_that_is_rolled_back_holds_nothing_and_has_ended(client: Client) -> None:
    transaction = client.begin_by_reading()
    client.call(RollbackRequest(database=_DATABASE, transaction=transaction))
    assert client.write(1) == "OK"
    assert client.write(2, transaction) == "INVALID_ARGUMENT"
    assert client.number() == 1
