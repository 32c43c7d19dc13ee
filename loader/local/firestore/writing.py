"""One write: its precondition, its fields, and its transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.firestore_v1.types import Document, Value

from loader.local.firestore.fields import holder_of, removed, value_at
from loader.local.firestore.names import check_document_name, field_path
from loader.local.firestore.refusal import RefusedCall, invalid, unknown
from loader.local.firestore.values import Rank, double, is_nan, rank, sort_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from loader.local.firestore.documents import Documents

__all__ = ["name_of", "precondition", "written"]

_Document, _Value = Document.pb(), Value.pb()
_REQUEST_TIME = 1
_INT64 = 2**63


def name_of(write: Any) -> str:
    """Return the name of the document that a write is about."""
    match write.WhichOneof("operation"):
        case "update":
            name = write.update.name
        case "delete":
            name = write.delete
        case "transform":
            name = write.transform.document
        case _:
            invalid("A write must have an operation.")
    check_document_name(name)
    return str(name)


def precondition(there: Any | None, write: Any) -> None:
    """Raise a RefusedCall if a document is not as a write demands."""
    wanted = write.current_document
    match wanted.WhichOneof("condition_type"):
        case "exists" if wanted.exists and there is None:
            raise RefusedCall(grpc.StatusCode.NOT_FOUND, f"No document to update: {name_of(write)}")
        case "exists" if not wanted.exists and there is not None:
            message = f"Document already exists: {name_of(write)}"
            raise RefusedCall(grpc.StatusCode.ALREADY_EXISTS, message)
        case "update_time" if there is None or there.update_time != wanted.update_time:
            message = "the stored version does not match the required base version"
            raise RefusedCall(grpc.StatusCode.FAILED_PRECONDITION, message)


def written(documents: Documents, write: Any, now: int, result: Any) -> None:
    """Do a write whose precondition holds.

    Args:
        documents: Where the document is.
        write: A ``google.firestore.v1.Write``.
        now: The time of the commit, in microseconds.
        result: Its ``WriteResult``, which is filled in.

    """
    name = name_of(write)
    there = documents.get(name)
    if write.WhichOneof("operation") == "delete":
        documents.delete(name)
        return
    fresh = _changed(name, there, write)
    transforms = [*write.transform.field_transforms, *write.update_transforms]
    for transform in transforms:
        result.transform_results.append(_transformed(fresh.fields, transform, now))
    if there is not None and _same_fields(there, fresh):
        # A write that changes nothing keeps the update time.
        result.update_time.CopyFrom(there.update_time)
        return
    fresh.update_time.FromMicroseconds(now)
    if there is None:
        fresh.create_time.FromMicroseconds(now)
    else:
        fresh.create_time.CopyFrom(there.create_time)
    documents.put(fresh)
    result.update_time.CopyFrom(fresh.update_time)


def _changed(name: str, there: Any | None, write: Any) -> Any:
    """Return the document with the fields that a write sets."""
    fresh = _Document(name=name)
    if write.WhichOneof("operation") == "transform":
        if there is not None:
            fresh.CopyFrom(there)
    elif write.HasField("update_mask"):
        if there is not None:
            fresh.CopyFrom(there)
        for path in map(field_path, write.update_mask.field_paths):
            value = value_at(write.update.fields, path)
            if value is None:
                removed(fresh.fields, path)
            else:
                # A copy, since the field's old value may be a map that stays otherwise.
                holder_of(fresh.fields, path)[path[-1]].CopyFrom(value)
    else:
        for field, value in write.update.fields.items():
            fresh.fields[field].CopyFrom(value)
    return fresh


def _transformed(fields: Any, transform: Any, now: int) -> Any:
    """Change one field; return the transform's result."""
    path = field_path(transform.field_path)
    before = value_at(fields, path)
    kind = transform.WhichOneof("transform_type")
    result = _Value(null_value=0)
    if kind == "set_to_server_value":
        if transform.set_to_server_value != _REQUEST_TIME:
            invalid("A server value must be REQUEST_TIME.")
        after = _Value()
        # Firestore's server times have milliseconds.
        after.timestamp_value.FromMilliseconds(now // 1000)
        result = after
    elif kind in _NUMERIC:
        after = result = _NUMERIC[kind](before, getattr(transform, kind))
    elif kind == "append_missing_elements":
        after = _appended(before, transform.append_missing_elements)
    elif kind == "remove_all_from_array":
        after = _without(before, transform.remove_all_from_array)
    else:
        unknown(f"the transform {kind}")
    holder_of(fields, path)[path[-1]].CopyFrom(after)
    return result


def _increment(before: Any | None, by: Any) -> Any:
    _check_number(by)
    if before is None or rank(before) is not Rank.NUMBER:
        return by
    kinds = {before.WhichOneof("value_type"), by.WhichOneof("value_type")}
    if kinds == {"integer_value"}:
        # It stops at the largest integer, and at the smallest.
        total = before.integer_value + by.integer_value
        return _Value(integer_value=max(-_INT64, min(_INT64 - 1, total)))
    one, other = (float(getattr(it, it.WhichOneof("value_type"))) for it in (before, by))
    return double(one + other)


def _extreme(is_better: Callable[[Any, Any], bool]) -> Callable[[Any | None, Any], Any]:
    def extreme(before: Any | None, value: Any) -> Any:
        _check_number(value)
        if before is None or rank(before) is not Rank.NUMBER:
            return value
        if is_nan(before) or is_nan(value):
            return before if is_nan(before) else value
        return value if is_better(sort_key(value), sort_key(before)) else before

    return extreme


_NUMERIC: dict[str | None, Callable[[Any | None, Any], Any]] = {
    "increment": _increment,
    "maximum": _extreme(lambda new, old: new > old),
    "minimum": _extreme(lambda new, old: new < old),
}


def _check_number(value: Any) -> None:
    if rank(value) is not Rank.NUMBER:
        invalid("The value of a numeric transform must be a number.")


def _items(before: Any | None) -> list[Any]:
    is_array = before is not None and rank(before) is Rank.ARRAY
    return list(before.array_value.values) if before is not None and is_array else []


def _array(items: list[Any]) -> Any:
    value = _Value()
    value.array_value.SetInParent()
    value.array_value.values.extend(items)
    return value


def _appended(before: Any | None, more: Any) -> Any:
    items = _items(before)
    known = {sort_key(item) for item in items}
    for item in more.values:
        if sort_key(item) not in known:
            known.add(sort_key(item))
            items.append(item)
    return _array(items)


def _without(before: Any | None, gone: Any) -> Any:
    keys = {sort_key(item) for item in gone.values}
    return _array([item for item in _items(before) if sort_key(item) not in keys])


def _same_fields(one: Any, other: Any) -> bool:
    # Not by ==, for which 0.0 is -0.0 and NaN differs from itself.
    return bool(_only_fields(one) == _only_fields(other))


def _only_fields(document: Any) -> bytes:
    return bytes(_Document(fields=document.fields).SerializeToString(deterministic=True))
