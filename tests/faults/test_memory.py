"""The Firestore in memory answers as Google's emulator does."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    BatchWriteRequest,
    BatchWriteResponse,
    RunQueryRequest,
    RunQueryResponse,
)

from loader.firestore.values import decode_fields
from tests.faults.backends import Call, EmulatorBackend, Refusal
from tests.faults.documents import fill_fields
from tests.faults.memory import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.base.environment import Environment
    from tests.faults.backends import Backend

_OWNER = (("authorization", "Bearer owner"),)
_IDS = ("a", "b", "é", "C", "a b")


class _Database:
    """A backend, with the last update times read from it."""

    def __init__(self, backend: Backend, project: str) -> None:
        self.backend = backend
        self.name = f"projects/{project}/databases/(default)"
        self.parent = f"{self.name}/documents/users/u"
        self.update_times: dict[str, list[Any]] = {}

    def document(self, id_: str) -> str:
        return f"{self.parent}/targets/{id_}"

    def answer(self, request: Any, reply_type: Any) -> list[Any]:
        """Return the replies, or the name of the error status."""
        method = type(request).__name__.removesuffix("Request")
        call = Call(method, type(request).pb(request).SerializeToString(), _OWNER)
        try:
            return [reply_type.pb().FromString(raw) for raw in self.backend.answer(call)]
        except Refusal as refusal:
            return [refusal.code.name]

    def see(self, document: Any) -> tuple[str, dict[str, Any]]:
        """Remember the update time, which differs between backends; return the rest."""
        id_ = document.name.rsplit("/", 1)[-1]
        times = self.update_times.setdefault(id_, [])
        if document.update_time not in times:
            times.append(document.update_time)
        return id_, decode_fields(document.fields)


@pytest.fixture
def databases(environment: Environment) -> Iterator[tuple[_Database, _Database]]:
    assert environment.firestore_host is not None
    with closing(EmulatorBackend(environment.firestore_host)) as emulator:
        yield _Database(emulator, environment.project), _Database(MemoryBackend(), "test-memory")


@pytest.mark.parametrize("seed", range(3))
def test_random_requests_are_answered_alike(
    seed: int, databases: tuple[_Database, _Database]
) -> None:
    rng = random.Random(f"memory {seed}")
    seen: set[Any] = set()
    for _ in range(60):
        step = rng.choice((_write, _write, _write, _read, _query))
        state = rng.getstate()
        answers = []
        for database in databases:
            rng.setstate(state)
            answers.append(step(database, rng))
        assert answers[0] == answers[1]
        seen.update(answers[0] if step is _write else ())
    # Results: OK, INVALID_ARGUMENT for all, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION.
    assert seen >= {0, "INVALID_ARGUMENT", 5, 6, 9}


def _write(database: _Database, rng: random.Random) -> list[Any]:
    request = BatchWriteRequest(database=database.name)
    for id_ in rng.sample(_IDS, rng.randint(1, 3)):
        write = BatchWriteRequest.pb(request).writes.add()
        _fill(write, database, id_, rng)
    chance = rng.random()
    if chance < 0.05:
        BatchWriteRequest.pb(request).writes.append(BatchWriteRequest.pb(request).writes[0])
    elif chance < 0.1:
        BatchWriteRequest.pb(request).writes.add().delete = database.document(
            rng.choice(("..", "__x__", "x/y"))
        )
    (reply,) = database.answer(request, BatchWriteResponse)
    return [reply] if isinstance(reply, str) else [status.code for status in reply.status]


def _fill(write: Any, database: _Database, id_: str, rng: random.Random) -> None:
    match rng.choice(("none", "exists", "not", "time", "time", "old time")):
        case "exists":
            write.current_document.exists = True
        case "not":
            write.current_document.exists = False
        case ("time" | "old time") as kind:
            times = database.update_times.get(id_)
            if times:
                write.current_document.update_time.CopyFrom(times[-1 if kind == "time" else 0])
    name = database.document(id_)
    if rng.random() < 0.2:
        write.delete = name
        return
    write.update.name = name
    values = {"status": rng.choice(("PENDING", "SENT")), "n": rng.randint(0, 1), "m": {"k": [1]}}
    fields = {field: values[field] for field in rng.sample(sorted(values), rng.randint(0, 3))}
    fill_fields(write.update.fields, fields)
    if rng.random() < 0.6:
        # A field that is in the mask but not in the document is removed.
        write.update_mask.field_paths.extend(sorted({*fields, rng.choice(("n", "m"))}))


def _read(database: _Database, rng: random.Random) -> list[Any]:
    request = BatchGetDocumentsRequest(
        database=database.name,
        documents=[database.document(id_) for id_ in rng.sample(_IDS, 3)],
        **({"mask": {"field_paths": ["n", "status"]}} if rng.random() < 0.5 else {}),
    )
    replies = database.answer(request, BatchGetDocumentsResponse)
    found = [database.see(reply.found) for reply in replies if reply.HasField("found")]
    missing = [reply.missing.rsplit("/", 1)[-1] for reply in replies if reply.missing]
    return [sorted(found), sorted(missing)]


def _query(database: _Database, rng: random.Random) -> list[Any]:
    query: dict[str, Any] = {"from_": [{"collection_id": "targets"}]}
    if rng.random() < 0.7:
        query["where"] = {
            "field_filter": {
                "field": {"field_path": "status"},
                "op": "EQUAL",
                "value": {"string_value": "PENDING"},
            }
        }
    if rng.random() < 0.3:
        query["select"] = {"fields": [{"field_path": "status"}]}
    if rng.random() < 0.3:
        query["order_by"] = [{"field": {"field_path": "__name__"}, "direction": "ASCENDING"}]
        query["limit"] = {"value": 2}
        if rng.random() < 0.7:
            query["start_at"] = {
                "values": [{"reference_value": database.document("b")}],
                "before": rng.random() < 0.5,
            }
    request = RunQueryRequest(parent=database.parent, structured_query=query)
    replies = database.answer(request, RunQueryResponse)
    return [database.see(reply.document) for reply in replies if reply.HasField("document")]
