"""Python values to Firestore's wire values and back.

Works on raw protobuf messages: the client's own helpers wrap every field in an object and cost
some twenty times the CPU per document.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["decode_fields", "decode_instant", "fill_fields"]

ValuePb: Any = Value.pb()


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
