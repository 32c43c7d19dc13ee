"""Structured queries: filters, orders, cursors, limits and aggregations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.firestore_v1.types import StructuredQuery, Value

from loader.local.firestore.fields import masked, value_at
from loader.local.firestore.names import field_path
from loader.local.firestore.query_rules import check_filter
from loader.local.firestore.refusal import RefusedCall, invalid, unknown
from loader.local.firestore.values import Rank, double, is_nan, name_key, rank, sort_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from loader.local.firestore.documents import Documents

__all__ = ["Selection", "aggregated", "selected", "shown"]

_Op = StructuredQuery.FieldFilter.Operator
_Unary = StructuredQuery.UnaryFilter.Operator
_Composite = StructuredQuery.CompositeFilter.Operator
_DESCENDING = StructuredQuery.Direction.DESCENDING
_NAME = ("__name__",)
_RANGES: dict[int, Callable[[Any, Any], bool]] = {
    _Op.LESS_THAN: lambda found, bound: found < bound,
    _Op.LESS_THAN_OR_EQUAL: lambda found, bound: found <= bound,
    _Op.GREATER_THAN: lambda found, bound: found > bound,
    _Op.GREATER_THAN_OR_EQUAL: lambda found, bound: found >= bound,
}
_LISTS = {_Op.IN, _Op.NOT_IN, _Op.ARRAY_CONTAINS_ANY}
_INEQUALITIES = {*_RANGES, _Op.NOT_EQUAL, _Op.NOT_IN}
_NOT_UNARY = {_Unary.IS_NOT_NAN, _Unary.IS_NOT_NULL}
_KNOWN = {
    "from_", "where", "select", "order_by", "start_at", "end_at", "offset", "limit",
}  # fmt: skip
_INT64 = 2**63
_Value = Value.pb()

Path = tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """What a query found."""

    documents: list[Any]
    skipped: int
    """Documents that its offset left out."""


@dataclass(frozen=True)
class _Order:
    path: Path
    is_descending: bool


def selected(documents: Documents, parent: str, query: Any) -> Selection:
    """Return the documents that a ``StructuredQuery`` finds below a parent, in its order."""
    unknown_parts = {field.name for field, _ in query.ListFields()} - _KNOWN
    if unknown_parts:
        unknown(f"queries with {', '.join(sorted(unknown_parts))}")
    sources = query.from_
    if len(sources) != 1:
        invalid("A query must have one collection.")
    source = sources[0]
    is_asked = None
    if query.HasField("where"):
        check_filter(query.where)
        is_asked = _filter(query.where)
    orders = _orders(query)
    if orders[0] == _Order(_NAME, is_descending=True) and is_asked is None:
        message = "Firestore does not support descending key scans"
        raise RefusedCall(grpc.StatusCode.FAILED_PRECONDITION, message)
    sorted_by = [order.path for order in orders if order.path != _NAME]
    found = [
        document
        for document in documents.found(
            parent, source.collection_id, is_deep=source.all_descendants
        )
        if (is_asked is None or is_asked(document))
        and all(value_at(document.fields, path) is not None for path in sorted_by)
    ]
    for order in reversed(orders):
        found.sort(key=partial(_key, path=order.path), reverse=order.is_descending)
    if query.HasField("start_at"):
        bound = _bound(query.start_at, orders)
        # With `before` the documents at the bound are in it.
        found = [one for one in found if _side(one, orders, bound) >= (not query.start_at.before)]
    if query.HasField("end_at"):
        bound = _bound(query.end_at, orders)
        found = [one for one in found if _side(one, orders, bound) <= -bool(query.end_at.before)]
    skipped = min(query.offset, len(found))
    found = found[query.offset :]
    if query.HasField("limit"):
        found = found[: query.limit.value]
    return Selection(found, skipped)


def shown(document: Any, query: Any) -> Any:
    """Return a document with only the fields that a query selects."""
    if not query.HasField("select"):
        return document
    paths = (field_path(reference.field_path) for reference in query.select.fields)
    return masked(document, (path for path in paths if path != _NAME))


def aggregated(found: Sequence[Any], aggregations: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the alias and value of each aggregation over documents.

    Only documents that have all the fields are counted
    (https://cloud.google.com/firestore/native/docs/query-data/aggregation-queries).
    """
    paths = [
        field_path(getattr(one, operator).field.field_path)
        for one in aggregations
        if (operator := one.WhichOneof("operator")) in ("sum", "avg")
    ]
    found = [
        document
        for document in found
        if all(value_at(document.fields, path) is not None for path in paths)
    ]
    for number, aggregation in enumerate(aggregations, start=1):
        alias = aggregation.alias or f"field_{number}"
        match aggregation.WhichOneof("operator"):
            case "count":
                count = len(found)
                if aggregation.count.HasField("up_to"):
                    count = min(count, aggregation.count.up_to.value)
                yield alias, _Value(integer_value=count)
            case "sum":
                yield alias, _sum(_numbers(found, aggregation.sum.field.field_path))
            case "avg":
                numbers = _numbers(found, aggregation.avg.field.field_path)
                if numbers:
                    yield alias, double(_total(numbers) / len(numbers))
                else:
                    yield alias, _Value(null_value=0)
            case _:
                invalid("An aggregation must have an operator.")


def _numbers(found: Sequence[Any], path: str) -> list[int | float]:
    values = (value_at(document.fields, field_path(path)) for document in found)
    return [
        getattr(value, value.WhichOneof("value_type"))
        for value in values
        if value is not None and rank(value) is Rank.NUMBER
    ]


def _sum(numbers: Sequence[int | float]) -> Any:
    total = _total(numbers)
    if isinstance(total, int) and -_INT64 <= total < _INT64:
        return _Value(integer_value=total)
    return double(float(total))


def _total(numbers: Sequence[int | float]) -> int | float:
    """Return the sum: of integers exactly, before the doubles are added."""
    integers = sum(number for number in numbers if isinstance(number, int))
    doubles = [number for number in numbers if isinstance(number, float)]
    return sum(doubles, start=float(integers)) if doubles else integers


# Orders and cursors


def _orders(query: Any) -> list[_Order]:
    """Return the orders of a query, with those that Firestore adds."""
    orders = [
        _Order(field_path(order.field.field_path), order.direction == _DESCENDING)
        for order in query.order_by
    ]
    is_descending = bool(orders) and orders[-1].is_descending
    known = {order.path for order in orders}
    added = sorted(set(_unequal_paths(query.where)) - known - {_NAME})
    orders += [_Order(path, is_descending) for path in added]
    if _NAME not in known:
        orders.append(_Order(_NAME, is_descending))
    elif orders[-1].path != _NAME:
        invalid("order by clause cannot contain more fields after the key")
    return orders


def _unequal_paths(where: Any) -> Iterator[Path]:
    """Yield the fields that a filter compares by other than equality; they order the result."""
    match where.WhichOneof("filter_type"):
        case "composite_filter":
            for part in where.composite_filter.filters:
                yield from _unequal_paths(part)
        case "field_filter" if where.field_filter.op in _INEQUALITIES:
            yield field_path(where.field_filter.field.field_path)
        case "unary_filter" if where.unary_filter.op in _NOT_UNARY:
            yield field_path(where.unary_filter.field.field_path)


def _bound(cursor: Any, orders: Sequence[_Order]) -> list[Any]:
    if len(cursor.values) > len(orders):
        invalid("A cursor has too many values.")
    return [sort_key(value) for value in cursor.values]


def _side(document: Any, orders: Sequence[_Order], bound: Sequence[Any]) -> int:
    """Return -1 if a document lies before a bound in the query's order, 1 after it, else 0."""
    for order, key in zip(orders, bound, strict=False):
        found = _key(document, order.path)
        if found != key:
            return 1 if (found > key) != order.is_descending else -1
    return 0


def _key(document: Any, path: Path) -> tuple[Any, ...]:
    if path == _NAME:
        return Rank.REFERENCE, name_key(document.name)
    return sort_key(value_at(document.fields, path))


# Filters


def _filter(where: Any) -> Callable[[Any], bool]:
    """Return a function that says whether a document passes a ``Filter``."""
    match where.WhichOneof("filter_type"):
        case "composite_filter":
            parts = [_filter(part) for part in where.composite_filter.filters]
            match where.composite_filter.op:
                case _Composite.AND:
                    return lambda document: all(part(document) for part in parts)
                case _Composite.OR:
                    return lambda document: any(part(document) for part in parts)
            return invalid("A composite filter must be AND or OR.")
        case "unary_filter":
            asked = where.unary_filter
            return _of_value(asked.field.field_path, _unary(asked.op))
        case "field_filter":
            asked = where.field_filter
            return _of_value(asked.field.field_path, _comparison(asked.op, asked.value))
    return invalid("A filter must have a kind.")


def _of_value(text: str, is_met: Callable[[Any], bool]) -> Callable[[Any], bool]:
    path = field_path(text)
    if path == _NAME:
        return lambda document: is_met(_Value(reference_value=document.name))

    def is_met_by(document: Any) -> bool:
        value = value_at(document.fields, path)
        return value is not None and is_met(value)

    return is_met_by


def _unary(op: int) -> Callable[[Any], bool]:
    match op:
        case _Unary.IS_NAN:
            return is_nan
        case _Unary.IS_NULL:
            return _is_null
        case _Unary.IS_NOT_NAN:
            return lambda value: not _is_null(value) and not is_nan(value)
        case _Unary.IS_NOT_NULL:
            return lambda value: not _is_null(value)
    return invalid("A unary filter must have an operator.")


def _comparison(op: int, wanted: Any) -> Callable[[Any], bool]:
    listed = wanted.array_value.values if op in _LISTS else [wanted]
    if any(_is_null(value) or is_nan(value) for value in listed):
        # Clients ask with unary filters; what the service makes of this is not written down.
        unknown("comparisons with null or NaN")
    bound = sort_key(wanted)
    if op in _RANGES:
        is_within = _RANGES[op]
        # A range holds values of its bound's type only, and NaN is in none.
        return lambda value: (
            rank(value) is rank(wanted) and not is_nan(value) and is_within(sort_key(value), bound)
        )
    match op:
        case _Op.EQUAL:
            return lambda value: sort_key(value) == bound
        case _Op.NOT_EQUAL:
            return lambda value: not _is_null(value) and sort_key(value) != bound
        case _Op.ARRAY_CONTAINS:
            return lambda value: bound in _item_keys(value)
    keys = set(map(sort_key, listed))
    match op:
        case _Op.IN:
            return lambda value: sort_key(value) in keys
        case _Op.NOT_IN:
            return lambda value: not _is_null(value) and sort_key(value) not in keys
        case _Op.ARRAY_CONTAINS_ANY:
            return lambda value: not _item_keys(value).isdisjoint(keys)
    return invalid("A field filter must have an operator.")


def _is_null(value: Any) -> bool:
    return rank(value) is Rank.NULL


def _item_keys(value: Any) -> set[tuple[Any, ...]]:
    is_array = rank(value) is Rank.ARRAY
    return {sort_key(item) for item in value.array_value.values} if is_array else set()
