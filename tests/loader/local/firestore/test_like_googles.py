"""The embedded Firestore answers as Google's emulator does: `pytest --requests N` compares more."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import (
    BatchGetDocumentsResponse,
    BatchWriteResponse,
    CommitResponse,
    Document,
    ListCollectionIdsResponse,
    ListDocumentsResponse,
    RunAggregationQueryResponse,
    RunQueryResponse,
)

from tests.faults.backends import Call, EmulatorBackend, RefusedCall
from tests.faults.documents import OWNER
from tests.faults.memory import MemoryBackend
from tests.loader.local.firestore.requests import Requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from tests.faults.backends import Backend

_PORTION = 500
# No request has a later instant.
_LATEST_SECONDS = 1_100_000_000
_REPLIES: dict[str, Any] = {
    "BatchGetDocuments": BatchGetDocumentsResponse,
    "BatchWrite": BatchWriteResponse,
    "Commit": CommitResponse,
    "GetDocument": Document,
    "ListCollectionIds": ListCollectionIdsResponse,
    "ListDocuments": ListDocumentsResponse,
    "RunAggregationQuery": RunAggregationQueryResponse,
    "RunQuery": RunQueryResponse,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        count = metafunc.config.getoption("--requests")
        metafunc.parametrize("seed", range(-(-count // _PORTION)))


class Side:
    """One of the two, with the update times it has told; the two differ in them."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.times: dict[str, list[Any]] = {}
        self.details = ""
        """What the last refusal said; the two say it in other words."""

    def answer(self, request: Any) -> list[Any]:
        """Return what a request is answered, without instants."""
        method = type(request).__name__.removesuffix("Request")
        asked = type(request).pb(request)
        for write in getattr(asked, "writes", ()):
            if write.current_document.WhichOneof("condition_type") == "update_time":
                name = write.delete or write.update.name
                number = write.current_document.update_time.seconds
                write.current_document.update_time.CopyFrom(self.times[name][number])
        call = Call(method, asked.SerializeToString(), OWNER)
        try:
            replies = [_REPLIES[method].pb().FromString(raw) for raw in self._backend.answer(call)]
        except RefusedCall as refusal:
            self.details = refusal.details
            return [refusal.code.name]
        found = [part for reply in replies for part in self._told(method, reply)]
        return sorted(found, key=repr) if method == "BatchGetDocuments" else found

    def _told(self, method: str, reply: Any) -> Iterator[Any]:
        match method:
            case "GetDocument":
                yield self._seen(reply)
            case "BatchGetDocuments":
                yield self._seen(reply.found) if reply.HasField("found") else reply.missing
            case "ListDocuments":
                yield from map(self._seen, reply.documents)
            case "RunQuery":
                if reply.HasField("document"):
                    yield self._seen(reply.document)
            case "ListCollectionIds":
                yield from reply.collection_ids
            case "RunAggregationQuery":
                yield from _aggregates(reply)
            case "BatchWrite":
                yield from (status.code for status in reply.status)
                yield from _transform_results(reply)
            case "Commit":
                yield from _transform_results(reply)

    def _seen(self, document: Any) -> tuple[str, int, bytes]:
        """Note a document's update time; return how many it had so far, and its fields."""
        times = self.times.setdefault(document.name, [])
        # Of a document that is listed as missing, Google's emulator tells when it was deleted.
        if document.HasField("create_time") and document.update_time not in times:
            times.append(document.update_time)
        fields = Document.pb()(fields=document.fields)
        _drop_server_times(fields.fields)
        # A write that changes nothing keeps the update time.
        place = document.name, len(times)
        return *place, fields.SerializeToString(deterministic=True)


def _aggregates(reply: Any) -> Iterator[tuple[str, str]]:
    for alias, value in sorted(reply.result.aggregate_fields.items()):
        # Nobody says in which order doubles are added.
        is_double = value.WhichOneof("value_type") == "double_value"
        yield alias, f"{value.double_value:.12g}" if is_double else str(value)


def _transform_results(reply: Any) -> Iterator[Any]:
    for result in reply.write_results:
        for value in result.transform_results:
            if value.WhichOneof("value_type") != "timestamp_value":
                yield value.SerializeToString(deterministic=True)


def _drop_server_times(fields: Any) -> None:
    """Remove the instants that the server set: they are later than any that a request has."""
    for value in fields.values():
        if value.WhichOneof("value_type") == "map_value":
            _drop_server_times(value.map_value.fields)
        elif value.timestamp_value.seconds > _LATEST_SECONDS:
            value.timestamp_value.Clear()


def test_random_requests_are_answered_alike(seed: int, google_firestore: str) -> None:
    # Both name the same project: a reference is part of a value.
    database = f"projects/like-googles-{seed}/databases/(default)"
    requests = Requests(random.Random(f"requests {seed}"), database)
    with closing(EmulatorBackend(google_firestore)) as emulator:
        googles, ours = Side(emulator), Side(MemoryBackend())
        for number in range(_PORTION):
            request = requests.next()
            copy = type(request).deserialize(type(request).serialize(request))
            wanted = googles.answer(request)
            found = ours.answer(copy)
            assert found == wanted, f"request {number}: {request}"
            requests.times = {name: list(range(len(ts))) for name, ts in googles.times.items()}
