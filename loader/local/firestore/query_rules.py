"""What a query's filter may combine.

https://cloud.google.com/firestore/docs/query-data/queries#query_limitations; where that is silent,
as Google's emulator.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import StructuredQuery

from loader.local.firestore.refusal import invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_filter"]

_Op = StructuredQuery.FieldFilter.Operator
_Unary = StructuredQuery.UnaryFilter.Operator
_Composite = StructuredQuery.CompositeFilter.Operator
_CONTAINS = {_Op.ARRAY_CONTAINS, _Op.ARRAY_CONTAINS_ANY}
_LISTS = {_Op.IN, _Op.ARRAY_CONTAINS_ANY}
_NOT = {_Op.NOT_EQUAL, _Op.NOT_IN}
_NOT_UNARY = {_Unary.IS_NOT_NAN, _Unary.IS_NOT_NULL}


def check_filter(where: Any) -> None:
    """Refuse a ``Filter`` that Firestore refuses."""
    leaves = list(_leaves(where))
    ops = [leaf.field_filter.op for leaf in leaves if leaf.HasField("field_filter")]
    unary = [leaf.unary_filter.op for leaf in leaves if leaf.HasField("unary_filter")]
    if sum(op in _NOT for op in ops) + sum(op in _NOT_UNARY for op in unary) > 1:
        invalid(
            "Only a single 'NOT_EQUAL', 'NOT_IN', 'IS_NOT_NAN', or 'IS_NOT_NULL' filter allowed "
            "per query."
        )
    if _Op.NOT_IN in ops and (_LISTS.intersection(ops) or _has_or(where)):
        invalid(
            "'NOT_IN' cannot be used in the same query with 'IN', 'ARRAY_CONTAINS_ANY' or 'OR'."
        )
    for together in _disjunctions(where):
        if sum(leaf.field_filter.op in _CONTAINS for leaf in together) > 1:
            invalid("A maximum of 1 'ARRAY_CONTAINS' filter is allowed per disjunction.")


def _leaves(where: Any) -> Iterator[Any]:
    if where.WhichOneof("filter_type") != "composite_filter":
        yield where
        return
    for part in where.composite_filter.filters:
        yield from _leaves(part)


def _has_or(where: Any) -> bool:
    if where.WhichOneof("filter_type") != "composite_filter":
        return False
    composite = where.composite_filter
    return composite.op == _Composite.OR or any(map(_has_or, composite.filters))


def _disjunctions(where: Any) -> list[list[Any]]:
    """Return the filters that hold together, for each way in which the whole can hold."""
    if where.WhichOneof("filter_type") != "composite_filter":
        return [[where]]
    parts = [_disjunctions(part) for part in where.composite_filter.filters]
    if where.composite_filter.op == _Composite.OR:
        return [together for part in parts for together in part]
    return [[leaf for part in chosen for leaf in part] for chosen in product(*parts)]
