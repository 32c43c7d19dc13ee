"""Python values to Firestore's wire values and back.

Works on raw protobuf messages: the client's own helpers wrap every field in an object and cost
some twenty times the CPU per document.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["decode_fields", "decode_instant", "fill_fields", "payload_problem"]

# https://cloud.google.com/firestore/quotas
_MAX_DEPTH = 20
_RESERVED_NAME = re.compile(r"__.*__", re.DOTALL)
_INT64 = range(-(2**63), 2**63)

ValuePb: Any = Value.pb()


def payload_problem(value: Any, *, depth: int = 1) -> str:
    """Return why Firestore cannot hold a JSON value as a field; empty when it can.

    One such value makes the service refuse the whole request that it travels in.
    """
    if depth > _MAX_DEPTH:
        return f"the payload is nested more than {_MAX_DEPTH} levels deep"
    match value:
        case dict():
            if any(not name or _RESERVED_NAME.fullmatch(name) for name in value):
                return "the payload has a field whose name is empty or reserved"
            return _first_problem(value.values(), depth)
        case list():
            if any(isinstance(item, list) for item in value):
                return "the payload has a list directly in a list"
            return _first_problem(value, depth)
        case int() if value not in _INT64:
            return "the payload has an integer beyond 64 bits"
        case _:
            return ""


def _first_problem(values: Iterable[Any], depth: int) -> str:
    return next(filter(None, (payload_problem(value, depth=depth + 1) for value in values)), "")


def fill_fields(fields: Any, values: Mapping[str, Any]) -> None:
    """Write a mapping into the ``fields`` map of a raw document or map value.

    Args:
        fields: A protobuf map of field name to value.
        values: None, bool, int, float, str, aware datetime, and lists and mappings of them.

    """
    for name, value in values.items():
        _fill(fields[name], value)


def decode_fields(fields: Any) -> dict[str, Any]:
    """Return the ``fields`` map of a raw document or map value as Python values."""
    return {name: _decode(value) for name, value in fields.items()}


def decode_instant(timestamp: Any) -> datetime:
    """Return a raw protobuf Timestamp as an aware datetime in UTC, to the microsecond."""
    instant: datetime = timestamp.ToDatetime(tzinfo=UTC)
    return instant


def _fill(slot: Any, value: Any) -> None:
    match value:
        case None:
            slot.null_value = 0
        case bool():
            slot.boolean_value = value
        case int():
            slot.integer_value = value
        case float():
            slot.double_value = value
        case str():
            slot.string_value = value
        case datetime():
            slot.timestamp_value.FromDatetime(value)
        case list():
            slot.array_value.SetInParent()
            for item in value:
                _fill(slot.array_value.values.add(), item)
        case dict():
            slot.map_value.SetInParent()
            fill_fields(slot.map_value.fields, value)
        case _:
            message = f"a {type(value).__name__} has no Firestore value"
            raise TypeError(message)


def _decode(value: Any) -> Any:
    kind = value.WhichOneof("value_type")
    match kind:
        case "null_value" | None:
            return None
        case "timestamp_value":
            return decode_instant(value.timestamp_value)
        case "array_value":
            return [_decode(item) for item in value.array_value.values]
        case "map_value":
            return decode_fields(value.map_value.fields)
        case _:
            return getattr(value, kind)
