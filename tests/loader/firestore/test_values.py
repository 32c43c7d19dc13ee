"""Python values survive encoding to Firestore's wire format and decoding."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from google.cloud.firestore_v1._helpers import encode_dict
from google.cloud.firestore_v1.types import Document
from hypothesis import given
from hypothesis import strategies as st

from loader.firestore.values import decode_fields
from loader.firestore.wire import encode_fields
from loader.sync.ports import UnfitValueError

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.datetimes(timezones=st.just(UTC))
)
_NAMES = st.text(min_size=1).filter(lambda name: not (name[:2] == name[-2:] == "__"))
# Firestore does not allow a list directly in a list.
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner.filter(lambda item: not isinstance(item, list)), max_size=4)
        | st.dictionaries(_NAMES, inner, max_size=4)
    ),
    max_leaves=20,
)
_FIELDS = st.dictionaries(_NAMES, _VALUES, max_size=5)


def _round_trip(values: dict[str, Any]) -> dict[str, Any]:
    return decode_fields(Document.pb().FromString(encode_fields(values)).fields)


def _typed(value: Any) -> Any:
    """Return a value with its types, since 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {name: _typed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return type(value), value


@given(values=_FIELDS)
def test_our_bytes_are_the_message_that_the_official_client_builds(values: dict[str, Any]) -> None:
    ours = Document.pb().FromString(encode_fields(values))
    assert ours == Document.pb(Document(fields=encode_dict(values)))


@given(first=_FIELDS, second=_FIELDS)
def test_joined_parts_are_one_document(first: dict[str, Any], second: dict[str, Any]) -> None:
    joined = Document.pb().FromString(encode_fields(first) + encode_fields(second))
    assert _typed(decode_fields(joined.fields)) == _typed({**first, **second})


@pytest.mark.parametrize("size", [0, 1, 127, 128, 4095, 4096, 16383, 16384, 300_000])
def test_a_text_of_any_size_comes_back(size: int) -> None:
    values = {"text": "x" * size, "map": {"deeper": ["y" * size]}, "n" * max(size, 1): None}
    assert _round_trip(values) == values


def test_more_names_than_are_kept_come_back() -> None:
    values = {f"name {number}": {f"deeper {number}": str(number)} for number in range(3000)}
    assert _round_trip(values) == values


def _nested(depth: int) -> dict[str, Any]:
    return {"deeper": _nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"": 1}, "name is empty or reserved"),
        ({"a": [{"__name__": 1}]}, "name is empty or reserved"),
        ([1, [2]], "a list directly in a list"),
        (_nested(20), "nested more than 20 levels deep"),
        (2**63, "an integer beyond 64 bits"),
        ([-(2**63) - 1], "an integer beyond 64 bits"),
    ],
)
def test_what_firestore_cannot_hold_is_refused_with_the_reason(value: Any, reason: str) -> None:
    with pytest.raises(UnfitValueError, match=reason):
        encode_fields({"data": value})


def test_the_deepest_nesting_that_firestore_holds_is_taken() -> None:
    assert _round_trip({"data": _nested(19)}) == {"data": _nested(19)}


@given(values=_FIELDS)
def test_nested_values_keep_their_content_and_types(values: dict[str, Any]) -> None:
    assert _typed(_round_trip(values)) == _typed(values)


@pytest.mark.parametrize(
    "value",
    [
        "Olá, José 🎂👨‍👩‍👧",
        datetime(2026, 11, 23, 12, 59, 59, 999999, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        2**31,
        -(2**53) - 1,
        2**63 - 1,
        True,
        False,
        0,
        1,
        1.0,
        -0.0,
        math.inf,
        "",
        None,
        [],
        {},
        [{}, None, {"list": []}],
        {" ": {"a.b": [{"deep": []}]}},
    ],
    ids=repr,
)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert _typed(_round_trip({"value": value})) == _typed({"value": value})


def test_a_number_that_is_none_comes_back_as_none_of_a_number() -> None:
    assert math.isnan(_round_trip({"value": math.nan})["value"])


def test_an_instant_of_another_zone_comes_back_as_the_same_instant_in_utc() -> None:
    local = datetime(2026, 11, 23, 21, 30, tzinfo=timezone(timedelta(hours=-3)))
    found = _round_trip({"at": local})["at"]
    assert found == local
    assert found.utcoffset() == timedelta()


@pytest.mark.parametrize(
    "value",
    [b"bytes", ("a", "tuple"), {"a", "set"}, Decimal("1.5"), date(2026, 11, 23), object()],
    ids=lambda value: type(value).__name__,
)
def test_a_type_without_a_firestore_value_is_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        _round_trip({"outer": {"inner": [value]}})
