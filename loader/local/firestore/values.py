"""The order of Firestore's values, across all types.

https://cloud.google.com/firestore/docs/concepts/data-types#value_type_ordering
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import Value

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Rank", "double", "is_nan", "name_key", "rank", "sort_key"]

_VECTOR = "__vector__"


class Rank(IntEnum):
    """A value's type, in the order in which types are sorted."""

    NULL = 0
    BOOLEAN = 1
    NUMBER = 2
    """Integers and doubles alike; NaN comes before all others."""
    TIMESTAMP = 3
    STRING = 4
    BYTES = 5
    REFERENCE = 6
    GEO_POINT = 7
    ARRAY = 8
    VECTOR = 9
    MAP = 10


_RANKS = {
    "null_value": Rank.NULL,
    "boolean_value": Rank.BOOLEAN,
    "integer_value": Rank.NUMBER,
    "double_value": Rank.NUMBER,
    "timestamp_value": Rank.TIMESTAMP,
    "string_value": Rank.STRING,
    "bytes_value": Rank.BYTES,
    "reference_value": Rank.REFERENCE,
    "geo_point_value": Rank.GEO_POINT,
    "array_value": Rank.ARRAY,
    "map_value": Rank.MAP,
}


def rank(value: Any) -> Rank:
    """Return the type of a value (``google.firestore.v1.Value``)."""
    found = _RANKS[value.WhichOneof("value_type") or "null_value"]
    return Rank.VECTOR if found is Rank.MAP and _is_vector(value) else found


def double(number: float) -> Any:
    """Return a number as a value; NaN, which has several forms, in the form that Firestore has."""
    return Value.pb()(double_value=math.nan if math.isnan(number) else number)


def is_nan(value: Any) -> bool:
    """Return whether a value is not a number."""
    return value.WhichOneof("value_type") == "double_value" and math.isnan(value.double_value)


def sort_key(value: Any) -> tuple[Any, ...]:
    """Return what orders a value among all others; equal values have equal keys."""
    kind = rank(value)
    return kind, *_PARTS[kind](value)


def name_key(name: str) -> tuple[bytes, ...]:
    """Return what orders document names: segment by segment."""
    return tuple(segment.encode() for segment in name.split("/"))


def _number(value: Any) -> tuple[int, int | float]:
    if is_nan(value):
        return 0, 0
    # Python compares integers and floats exactly.
    return 1, getattr(value, value.WhichOneof("value_type"))


def _vector(value: Any) -> tuple[Any, ...]:
    items = value.map_value.fields["value"].array_value.values
    return len(items), tuple(map(sort_key, items))


def _map(value: Any) -> tuple[Any, ...]:
    fields = value.map_value.fields
    names = sorted(fields, key=str.encode)
    return tuple((name.encode(), sort_key(fields[name])) for name in names)


_PARTS: dict[Rank, Callable[[Any], tuple[Any, ...]]] = {
    Rank.NULL: lambda _: (),
    Rank.BOOLEAN: lambda value: (value.boolean_value,),
    Rank.NUMBER: _number,
    Rank.TIMESTAMP: lambda value: (value.timestamp_value.seconds, value.timestamp_value.nanos),
    Rank.STRING: lambda value: (value.string_value.encode(),),
    Rank.BYTES: lambda value: (value.bytes_value,),
    Rank.REFERENCE: lambda value: (name_key(value.reference_value),),
    Rank.GEO_POINT: lambda value: (
        value.geo_point_value.latitude,
        value.geo_point_value.longitude,
    ),
    Rank.ARRAY: lambda value: (tuple(map(sort_key, value.array_value.values)),),
    Rank.VECTOR: _vector,
    Rank.MAP: lambda value: (_map(value),),
}


def _is_vector(value: Any) -> bool:
    fields = value.map_value.fields
    return "__type__" in fields and fields["__type__"].string_value == _VECTOR
