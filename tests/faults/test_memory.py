"""The Firestore in memory answers as Google's emulator does."""

from __future__ import annotations

import math
import random
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    BatchWriteRequest,
    BatchWriteResponse,
    CommitRequest,
    CommitResponse,
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
# Values of several types, since a range holds those of its bound's type only.
_NUMBERS = (0, 1, 1.5, "1", None, True)
_INSTANTS = (datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC), "2026-11-24")


class _Database:
    """A backend, with the last update times read from it."""

    def __init__(self, backend: Backend, project: str) -> None:
        self.backend = backend
        self.name = f"projects/{project}/databases/(default)"
        self.parent = f"{self.name}/documents/users/u"
        self.update_times: dict[str, list[Any]] = {}

    def document(self, id_: str, parent: str = "") -> str:
        return f"{parent or self.parent}/targets/{id_}"

    def other(self, user: str) -> str:
        """Return a parent of targets that lies deeper, and belongs to a user."""
        return f"{self.name}/documents/users/{user}/campaigns/B"

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
        place = document.name.split("/documents/", 1)[-1]
        times = self.update_times.setdefault(place, [])
        if document.update_time not in times:
            times.append(document.update_time)
        return place, decode_fields(document.fields)


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
    for _ in range(250):
        step = rng.choice((_write, _write, _commit, _commit, _read, _query, _query, _search))
        state = rng.getstate()
        answers = []
        for database in databases:
            rng.setstate(state)
            answers.append(step(database, rng))
        assert answers[0] == answers[1]
        seen.update(answers[0] if step in (_write, _commit) else ())
        seen.add((step.__name__, bool(answers[0])))
    # Results: OK, INVALID_ARGUMENT for all, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION.
    assert seen >= {0, "INVALID_ARGUMENT", 5, 6, 9}
    assert seen >= {"NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", True}
    assert seen >= {("_query", True), ("_search", True), ("_search", False)}


def _write(database: _Database, rng: random.Random) -> list[Any]:
    request = BatchWriteRequest(database=database.name)
    for id_ in rng.sample(_IDS, rng.randint(1, 3)):
        write = BatchWriteRequest.pb(request).writes.add()
        _fill(write, database, database.document(id_), rng)
    chance = rng.random()
    if chance < 0.05:
        BatchWriteRequest.pb(request).writes.append(BatchWriteRequest.pb(request).writes[0])
    elif chance < 0.1:
        BatchWriteRequest.pb(request).writes.add().delete = database.document(
            rng.choice(("..", "__x__", "x/y"))
        )
    (reply,) = database.answer(request, BatchWriteResponse)
    return [reply] if isinstance(reply, str) else [status.code for status in reply.status]


def _commit(database: _Database, rng: random.Random) -> list[Any]:
    """Write documents of several collections, all or none."""
    request = CommitRequest(database=database.name)
    parents = (database.parent, database.other("u"), database.other("v"))
    names = [database.document(id_, parent) for id_ in _IDS[:3] for parent in parents]
    chosen = rng.sample(names, rng.randint(1, 3))
    for name in chosen:
        _fill(CommitRequest.pb(request).writes.add(), database, name, rng)
    writes = list(CommitRequest.pb(request).writes)
    replies = database.answer(request, CommitResponse)
    if isinstance(replies[0], str):
        return replies
    # What it says of a document is the precondition of the next write.
    told = [result.update_time for result in replies[0].write_results]
    read = BatchGetDocumentsRequest(database=database.name, documents=chosen)
    found = {
        reply.found.name: reply.found
        for reply in database.answer(read, BatchGetDocumentsResponse)
        if reply.HasField("found")
    }
    for document in found.values():
        database.see(document)
    return [
        write.update.name == "" or found[name].update_time == time
        for name, write, time in zip(chosen, writes, told, strict=True)
    ]


def _fill(write: Any, database: _Database, name: str, rng: random.Random) -> None:
    match rng.choice(("none", "exists", "not", "time", "time", "old time")):
        case "exists":
            write.current_document.exists = True
        case "not":
            write.current_document.exists = False
        case ("time" | "old time") as kind:
            times = database.update_times.get(name.split("/documents/", 1)[-1])
            if times:
                write.current_document.update_time.CopyFrom(times[-1 if kind == "time" else 0])
    if rng.random() < 0.2:
        write.delete = name
        return
    write.update.name = name
    values = {
        "status": rng.choice(("PENDING", "SENT", "FAILED")),
        "n": rng.choice(_NUMBERS),
        "at": rng.choice(_INSTANTS),
        "keys": rng.sample(("phone:1", "phone:2", "user:3"), rng.randint(0, 2)),
        "m": {"k": [1]},
    }
    fields = {field: values[field] for field in rng.sample(sorted(values), rng.randint(0, 5))}
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
    missing = [reply.missing.split("/documents/")[-1] for reply in replies if reply.missing]
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


def _search(database: _Database, rng: random.Random) -> list[Any]:
    """Look through all collections of a name, or one, with the filters of the project's queries."""
    is_deep = rng.random() < 0.7
    filters = rng.choice(
        (
            [("status", "EQUAL", {"string_value": "PENDING"})],
            [("status", "IN", _list(["PENDING", "FAILED"]))],
            [("keys", "ARRAY_CONTAINS_ANY", _list(["phone:1", "user:3"]))],
            [("at", "GREATER_THAN_OR_EQUAL", {"timestamp_value": _INSTANTS[1]})],
            [("n", "GREATER_THAN_OR_EQUAL", {"integer_value": 1})],
            [("n", "GREATER_THAN_OR_EQUAL", {"double_value": -math.inf})],
            [("n", "GREATER_THAN_OR_EQUAL", {"string_value": ""})],
            [
                ("status", "EQUAL", {"string_value": "SENT"}),
                ("at", "GREATER_THAN_OR_EQUAL", {"timestamp_value": _INSTANTS[0]}),
            ],
        )
    )
    conditions = [
        {"field_filter": {"field": {"field_path": path}, "op": op, "value": value}}
        for path, op, value in filters
    ]
    query: dict[str, Any] = {
        "from_": [{"collection_id": "targets", "all_descendants": is_deep}],
        "where": conditions[0]
        if len(conditions) == 1
        else {"composite_filter": {"op": "AND", "filters": conditions}},
    }
    is_range = filters[-1][1] == "GREATER_THAN_OR_EQUAL"
    if is_range and rng.random() < 0.5:
        fields = [filters[-1][0], *(["__name__"] if rng.random() < 0.5 else [])]
        query["order_by"] = [{"field": {"field_path": field}} for field in fields]
    elif is_deep and not is_range and rng.random() < 0.7:
        # Those of one user, as whoever asks for one laundromat does.
        users = f"{database.name}/documents/users"
        query["order_by"] = [{"field": {"field_path": "__name__"}}]
        for bound, user in (("start_at", "u"), ("end_at", "u0")):
            values = [{"reference_value": f"{users}/{user}"}]
            query[bound] = {"values": values, "before": True}
    if rng.random() < 0.3:
        query["limit"] = {"value": 2}
    parent = f"{database.name}/documents" if is_deep else database.other("u")
    request = RunQueryRequest(parent=parent, structured_query=query)
    replies = database.answer(request, RunQueryResponse)
    if isinstance(replies[0], str):
        return replies
    return [database.see(reply.document) for reply in replies if reply.HasField("document")]


def _list(values: list[str]) -> dict[str, Any]:
    return {"array_value": {"values": [{"string_value": value} for value in values]}}
