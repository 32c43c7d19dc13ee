"""Firestore in memory: the few methods that sync and the sender use, and their preconditions.

A thousand schedules take seconds with it. `tests/faults/test_memory.py` compares it with Google's
emulator. It refuses requests that it does not know, so that it never agrees by accident.
"""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    BatchWriteRequest,
    BatchWriteResponse,
    CommitRequest,
    CommitResponse,
    Document,
    RunQueryRequest,
    RunQueryResponse,
)

from tests.faults.backends import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.faults.backends import Call

__all__ = ["MemoryBackend"]

_ILLEGAL_ID = re.compile(r"|\.{1,2}|__.*__", re.DOTALL)
_OK = 0


class MemoryBackend:
    """Documents by name; every call except BatchWrite is atomic, as in the service."""

    def __init__(self) -> None:
        self._documents: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._last_time = 0

    def names(self) -> list[str]:
        """Return the names of all documents, in their order."""
        return sorted(self._documents, key=str.encode)

    def answer(self, call: Call) -> Iterator[bytes]:
        answers: dict[str, tuple[Any, Callable[[Any], Iterable[Any]]]] = {
            "BatchGetDocuments": (BatchGetDocumentsRequest, self._batch_get),
            "BatchWrite": (BatchWriteRequest, self._batch_write),
            "Commit": (CommitRequest, self._commit),
            "RunQuery": (RunQueryRequest, self._run_query),
        }
        if call.method not in answers:
            raise Refusal(grpc.StatusCode.UNIMPLEMENTED, call.method)
        type_, answer = answers[call.method]
        request = type_.pb().FromString(call.request)
        with self._lock:
            replies = [reply.SerializeToString() for reply in answer(request)]
        yield from replies

    def _batch_get(self, request: Any) -> Iterator[Any]:
        _require(not request.transaction and not request.HasField("new_transaction"))
        for name in dict.fromkeys(request.documents):
            _check_name(name)
            reply = BatchGetDocumentsResponse.pb()()
            if name in self._documents:
                reply.found.CopyFrom(_shown(self._documents[name], request, "mask"))
            else:
                reply.missing = name
            _set_time(reply.read_time, self._tick())
            yield reply

    def _run_query(self, request: Any) -> Iterator[Any]:
        query = request.structured_query
        (selector,) = query.from_
        known = {"from_", "where", "select", "limit", "order_by", "start_at", "end_at"}
        _require({field.name for field, _ in query.ListFields()} <= known)
        orders = [order.field.field_path for order in query.order_by]
        # What a range compares orders what it finds.
        orders += [path for path in _ranges(query.where) if not orders]
        _require(orders in ([], ["__name__"]) or not query.HasField("start_at"))
        _require(all(order.direction != _DESCENDING for order in query.order_by))
        names = [
            name
            for name, document in self._documents.items()
            if _is_in(name, request.parent, selector)
            and (not query.HasField("where") or _matches(document, query.where))
        ]
        names.sort(key=str.encode)
        for path in reversed([order for order in orders if order != "__name__"]):
            names = [name for name in names if path in self._documents[name].fields]
            names.sort(key=lambda name, path=path: _sort_key(self._documents[name].fields[path]))  # type: ignore[misc]
        if query.HasField("start_at"):
            (start,) = query.start_at.values
            first = start.reference_value.encode()
            names = [
                name
                for name in names
                if (name.encode() >= first if query.start_at.before else name.encode() > first)
            ]
        if query.HasField("end_at"):
            (end,) = query.end_at.values
            _require(query.end_at.before)
            names = [name for name in names if name.encode() < end.reference_value.encode()]
        if query.HasField("limit"):
            names = names[: query.limit.value]
        replies = [RunQueryResponse.pb()() for _ in names or [""]]
        for reply, name in zip(replies, names, strict=False):
            reply.document.CopyFrom(_shown(self._documents[name], query, "select"))
        for reply in replies:
            _set_time(reply.read_time, self._tick())
        replies[-1].done = True
        yield from replies

    def _batch_write(self, request: Any) -> Iterator[Any]:
        names = [write.update.name or write.delete for write in request.writes]
        for name in names:
            _check_name(name)
        _refuse(len(set(names)) < len(names), "one document twice")
        reply = BatchWriteResponse.pb()()
        for name, write in zip(names, request.writes, strict=True):
            code = self._write(name, write)
            result, status = reply.write_results.add(), reply.status.add()
            status.code = code
            if code == _OK and name in self._documents:
                result.update_time.CopyFrom(self._documents[name].update_time)
        yield reply

    def _commit(self, request: Any) -> Iterator[Any]:
        _require(not request.transaction)
        names = [write.update.name or write.delete for write in request.writes]
        for name in names:
            _check_name(name)
        _require(len(set(names)) == len(names))
        for name, write in zip(names, request.writes, strict=True):
            code = _precondition(self._documents.get(name), write.current_document)
            if code != _OK:
                raise Refusal(_CODES[code], "a precondition does not hold")
        reply = CommitResponse.pb()()
        for name, write in zip(names, request.writes, strict=True):
            self._write(name, write)
            result = reply.write_results.add()
            if name in self._documents:
                result.update_time.CopyFrom(self._documents[name].update_time)
        _set_time(reply.commit_time, self._tick())
        yield reply

    def _write(self, name: str, write: Any) -> int:
        _require(not write.update_transforms and not write.HasField("transform"))
        there = self._documents.get(name)
        code = _precondition(there, write.current_document)
        if code != _OK:
            return code
        if write.delete:
            self._documents.pop(name, None)
            return _OK
        fresh = Document.pb()(name=name)
        if write.HasField("update_mask"):
            if there is not None:
                fresh.CopyFrom(there)
            for path in write.update_mask.field_paths:
                _require(re.fullmatch("[A-Za-z_]+", path) is not None)
                fresh.fields.pop(path, None)
                if path in write.update.fields:
                    fresh.fields[path].CopyFrom(write.update.fields[path])
        else:
            for field, value in write.update.fields.items():
                fresh.fields[field].CopyFrom(value)
        if there is not None and _same_fields(there, fresh):
            # A write that changes nothing keeps the update time.
            return _OK
        now = self._tick()
        _set_time(fresh.update_time, now)
        if there is None:
            _set_time(fresh.create_time, now)
        else:
            fresh.create_time.CopyFrom(there.create_time)
        self._documents[name] = fresh
        return _OK

    def _tick(self) -> int:
        """Return an instant in microseconds, later than all earlier ones."""
        self._last_time = max(self._last_time + 1, time.time_ns() // 1000)
        return self._last_time


_DESCENDING = 2
_EQUAL, _FROM_ON, _IN, _CONTAINS_ANY = 5, 4, 8, 9
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_AND = 1


def _require(is_known: bool) -> None:  # noqa: FBT001 - a condition, as in assert
    if not is_known:
        raise Refusal(grpc.StatusCode.UNIMPLEMENTED, "not known to the memory backend")


def _refuse(is_wrong: bool, details: str) -> None:  # noqa: FBT001 - a condition, as in assert
    if is_wrong:
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, details)


def _check_name(name: str) -> None:
    segments = name.split("/")
    # The name is projects/P/databases/D/documents, then pairs of collection and id.
    _refuse(len(segments) < 7 or len(segments) % 2 == 0, "no document name")
    _refuse(any(_ILLEGAL_ID.fullmatch(segment) for segment in segments[5:]), "illegal id")


def _precondition(there: Any, wanted: Any) -> int:
    match wanted.WhichOneof("condition_type"):
        case "exists" if wanted.exists and there is None:
            return int(grpc.StatusCode.NOT_FOUND.value[0])
        case "exists" if not wanted.exists and there is not None:
            return int(grpc.StatusCode.ALREADY_EXISTS.value[0])
        case "update_time" if there is None or there.update_time != wanted.update_time:
            return int(grpc.StatusCode.FAILED_PRECONDITION.value[0])
    return _OK


def _matches(document: Any, where: Any) -> bool:
    if where.WhichOneof("filter_type") == "composite_filter":
        _require(where.composite_filter.op == _AND)
        return all(_matches(document, part) for part in where.composite_filter.filters)
    _require(where.WhichOneof("filter_type") == "field_filter")
    field, wanted = where.field_filter.field.field_path, where.field_filter.value
    if field not in document.fields:
        return False
    found = document.fields[field]
    if where.field_filter.op == _IN:
        return any(found == value for value in wanted.array_value.values)
    if where.field_filter.op == _FROM_ON:
        # A range holds values of the bound's own type only.
        return _type_of(found) == _type_of(wanted) and _sort_key(found) >= _sort_key(wanted)
    if where.field_filter.op == _CONTAINS_ANY:
        values = wanted.array_value.values
        return any(item == value for item in found.array_value.values for value in values)
    _require(where.field_filter.op == _EQUAL)
    return bool(found == wanted)


def _ranges(where: Any) -> list[str]:
    """Return the fields of which a query asks for a range."""
    if where.WhichOneof("filter_type") == "composite_filter":
        return [path for part in where.composite_filter.filters for path in _ranges(part)]
    is_range = where.field_filter.op == _FROM_ON
    return [where.field_filter.field.field_path] if is_range else []


def _shown(document: Any, request: Any, mask: str) -> Any:
    """Return a document with only the fields of a request."""
    if not request.HasField(mask):
        return document
    asked = getattr(request, mask)
    paths = (
        list(asked.field_paths)
        if mask == "mask"
        else [reference.field_path for reference in asked.fields]
    )
    _require(all(re.fullmatch(r"[A-Za-z_]+|`\w+`\.`\w+`", path) for path in paths))
    shown = Document.pb()(
        name=document.name, create_time=document.create_time, update_time=document.update_time
    )
    for path in paths:
        outer, _, inner = path.replace("`", "").partition(".")
        if outer not in document.fields:
            continue
        if not inner:
            shown.fields[outer].CopyFrom(document.fields[outer])
        elif inner in document.fields[outer].map_value.fields:
            value = document.fields[outer].map_value.fields[inner]
            shown.fields[outer].map_value.fields[inner].CopyFrom(value)
    return shown


def _is_in(name: str, parent: str, selector: Any) -> bool:
    """Return whether a document is in a collection, or in any of that name below the parent."""
    folder = name.rsplit("/", 1)[0]
    if selector.all_descendants:
        return name.startswith(f"{parent}/") and folder.endswith(f"/{selector.collection_id}")
    return folder == f"{parent}/{selector.collection_id}"


def _type_of(value: Any) -> int:
    """Return a number for a value's type, in the order in which Firestore sorts types."""
    kind = str(value.WhichOneof("value_type"))
    _require(kind in _TYPES)
    return _TYPES[kind]


def _sort_key(value: Any) -> Any:
    """Return what orders a value among all others that may stand in the same field."""
    kind = str(value.WhichOneof("value_type"))
    content = getattr(value, kind)
    if kind == "timestamp_value":
        content = content.seconds, content.nanos
    return _type_of(value), content.encode() if kind == "string_value" else content


# https://cloud.google.com/firestore/docs/concepts/data-types#value_type_ordering: integers and
# doubles are numbers alike.
_TYPES = {
    "null_value": 0,
    "boolean_value": 1,
    "integer_value": 2,
    "double_value": 2,
    "timestamp_value": 3,
    "string_value": 4,
}


def _same_fields(one: Any, other: Any) -> bool:
    return bool(Document.pb()(fields=one.fields) == Document.pb()(fields=other.fields))


def _set_time(timestamp: Any, microseconds: int) -> None:
    timestamp.FromMicroseconds(microseconds)
