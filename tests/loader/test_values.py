"""Python values survive the way to Firestore's wire format and back."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from google.cloud.firestore_v1.types import Document
from hypothesis import given
from hypothesis import strategies as st

from loader.firestore.values import decode_fields, fill_fields

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.datetimes(timezones=st.just(UTC))
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def _round_trip(values: dict[str, Any]) -> dict[str, Any]:
    sent = Document.pb(Document())
    fill_fields(sent.fields, values)
    received = Document.pb(Document())
    received.ParseFromString(sent.SerializeToString())
    return decode_fields(received.fields)


def _typed(value: Any) -> Any:
    """Return a value with its types, since 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {name: _typed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return type(value), value


@given(values=st.dictionaries(st.text(), _VALUES, max_size=5))
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
        [[], {}, None],
        {"": {"a.b": [{"deep": []}]}},
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
