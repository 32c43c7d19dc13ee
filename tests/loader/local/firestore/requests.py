"""Random requests to a Firestore, of all kinds that the embedded one knows."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchWriteRequest,
    CommitRequest,
    GetDocumentRequest,
    ListCollectionIdsRequest,
    ListDocumentsRequest,
    RunAggregationQueryRequest,
    RunQueryRequest,
    StructuredQuery,
    Value,
)

from loader.local.firestore.values import Rank, is_nan, rank

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

__all__ = ["Requests"]

_Op = StructuredQuery.FieldFilter.Operator
_OPS = (
    *(_Op.LESS_THAN, _Op.LESS_THAN_OR_EQUAL, _Op.GREATER_THAN, _Op.GREATER_THAN_OR_EQUAL),
    *(_Op.EQUAL, _Op.NOT_EQUAL, _Op.ARRAY_CONTAINS, _Op.ARRAY_CONTAINS_ANY, _Op.IN, _Op.NOT_IN),
)
_Unary = StructuredQuery.UnaryFilter.Operator
_Composite = StructuredQuery.CompositeFilter.Operator
_Direction = StructuredQuery.Direction
_Value = Value.pb()

_IDS = ("a", "b", "é", "C", "a b", "10", "9")
_ILLEGAL_IDS = ("..", "__x__", "x/y")
_PATHS = ("n", "s", "any", "m", "m.k", "m.`a b`", "`é`", "keys")
_TEXTS = ("", "a", "Z", "é", "\uffff", "😀")
_NUMBERS = (
    *(0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)),
    *(0.0, -0.0, 1.0, 1.5, -1.5, float(2**53), 1e308, math.inf, -math.inf, math.nan),
)
_INSTANTS = (
    datetime(2001, 11, 23, tzinfo=UTC),
    datetime(2001, 11, 23, microsecond=1, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
)

Request = Any


class Requests:
    """Makes requests from a seed; the same seed makes the same ones."""

    def __init__(self, rng: random.Random, database: str) -> None:
        """Use this database, such as ``projects/p/databases/(default)``."""
        self._rng = rng
        self._database = database
        self._root = f"{database}/documents"
        self.times: dict[str, list[int]] = {}
        """Numbers of the update times that were seen of a document; a precondition takes one."""

    def next(self) -> Request:
        """Return the next request; an update time in a precondition is a number in its seconds."""
        kinds: list[Callable[[], Request]] = [
            *(self._batch_write, self._batch_write, self._commit, self._commit),
            *(self._get, self._batch_get, self._list_documents, self._list_collection_ids),
            *(self._query, self._query, self._query, self._aggregation),
        ]
        return self._rng.choice(kinds)()

    # Names

    def _collection(self) -> tuple[str, str]:
        user = self._rng.choice("uv")
        parent = self._rng.choice((f"users/{user}", f"users/{user}/campaigns/B"))
        return f"{self._root}/{parent}", "targets"

    def _name(self) -> str:
        parent, collection = self._collection()
        chance = self._rng.random()
        if chance < 0.02:
            return f"{parent}/{collection}/{self._rng.choice(_ILLEGAL_IDS)}"
        if chance < 0.04:
            return f"{self._root}/users/{self._rng.choice('uv')}"
        return f"{parent}/{collection}/{self._rng.choice(_IDS)}"

    def _names(self, most: int) -> list[str]:
        return [self._name() for _ in range(self._rng.randint(1, most))]

    # Values

    def value(self, depth: int = 0) -> Any:
        """Return a value of any type."""
        simple: list[Callable[[], Any]] = [
            *(self._null, self._boolean, self.number, self.number, self._text),
            *(self._instant, self._bytes, self._reference, self._point),
        ]
        if depth > 1:
            return self._rng.choice(simple)()
        makers: list[Callable[[], Any]] = [
            *simple,
            partial(self._array, depth),
            partial(self._map, depth),
        ]
        return self._rng.choice(makers)()

    def _null(self) -> Any:
        return _Value(null_value=0)

    def _boolean(self) -> Any:
        return _Value(boolean_value=self._rng.random() < 0.5)

    def _text(self) -> Any:
        return _Value(string_value=self._rng.choice(_TEXTS))

    def _instant(self) -> Any:
        value = _Value()
        value.timestamp_value.FromDatetime(self._rng.choice(_INSTANTS))
        return value

    def _bytes(self) -> Any:
        return _Value(bytes_value=self._rng.choice((b"", b"a", b"\xff")))

    def _reference(self) -> Any:
        return _Value(reference_value=f"{self._root}/users/{self._rng.choice(_IDS)}")

    def _point(self) -> Any:
        value = _Value()
        value.geo_point_value.latitude = self._rng.choice((0.0, -1.5, 90.0))
        value.geo_point_value.longitude = self._rng.choice((0.0, 1.5))
        return value

    def _array(self, depth: int) -> Any:
        value = _Value()
        value.array_value.SetInParent()
        items = [self.value(depth + 1) for _ in range(self._rng.randint(0, 3))]
        # An array cannot stand in an array.
        value.array_value.values.extend(item for item in items if rank(item) is not Rank.ARRAY)
        return value

    def _map(self, depth: int) -> Any:
        value = _Value()
        value.map_value.SetInParent()
        for key in self._rng.sample(("k", "a b", "l"), self._rng.randint(0, 2)):
            value.map_value.fields[key].CopyFrom(self.value(depth + 1))
        return value

    def number(self) -> Any:
        """Return a number, possibly no number."""
        number = self._rng.choice(_NUMBERS)
        if isinstance(number, int):
            return _Value(integer_value=number)
        return _Value(double_value=number)

    def _fields(self) -> dict[str, Any]:
        rng, text = self._rng, self._text()
        nested, keys = _Value(), _Value()
        nested.map_value.fields["k"].CopyFrom(self.value(1))
        if rng.random() < 0.5:
            nested.map_value.fields["a b"].CopyFrom(self.value(1))
        keys.array_value.SetInParent()
        for key in rng.sample(_TEXTS, rng.randint(0, 2)):
            keys.array_value.values.add().string_value = key
        known = {"n": self.number(), "s": text, "any": self.value(), "m": nested, "keys": keys}
        known["é"] = self.value()
        return {name: known[name] for name in rng.sample(sorted(known), rng.randint(0, 5))}

    # Writes

    def _batch_write(self) -> Request:
        request = BatchWriteRequest(database=self._database)
        # Mostly of different documents, as it must be.
        names = self._names(3)
        for name in names if self._rng.random() < 0.05 else dict.fromkeys(names):
            self._fill(BatchWriteRequest.pb(request).writes.add(), name)
        return request

    def _commit(self) -> Request:
        request = CommitRequest(database=self._database)
        for name in dict.fromkeys(self._names(3)):
            self._fill(CommitRequest.pb(request).writes.add(), name)
        return request

    def _fill(self, write: Any, name: str) -> None:
        rng = self._rng
        match rng.choice(("none", "none", "exists", "not", "time", "time")):
            case "exists":
                write.current_document.exists = True
            case "not":
                write.current_document.exists = False
            case "time" if self.times.get(name):
                write.current_document.update_time.seconds = rng.choice(self.times[name][-2:])
        chance = rng.random()
        if chance < 0.2:
            write.delete = name
            return
        write.update.name = name
        for field, value in self._fields().items():
            write.update.fields[field].CopyFrom(value)
        if chance < 0.7:
            # A field that is in the mask but not in the document is removed.
            write.update_mask.SetInParent()
            write.update_mask.field_paths.extend(rng.sample(_PATHS, rng.randint(0, 3)))
        if chance > 0.5:
            self._add_transform(write)

    def _add_transform(self, write: Any) -> None:
        rng, transform = self._rng, write.update_transforms.add()
        transform.field_path = rng.choice(("n", "m.t", "any", "keys"))
        match rng.randint(0, 5):
            case 0:
                transform.set_to_server_value = 1
            case 1:
                transform.increment.CopyFrom(self.number())
            case 2:
                transform.maximum.CopyFrom(self.number())
            case 3:
                transform.minimum.CopyFrom(self.number())
            case 4:
                transform.append_missing_elements.values.extend([self.value(2), self.number()])
            case 5:
                transform.remove_all_from_array.values.extend([self.value(2), self.number()])

    # Reads

    def _get(self) -> Request:
        request = GetDocumentRequest(name=self._name())
        self._mask(GetDocumentRequest.pb(request).mask)
        return request

    def _batch_get(self) -> Request:
        request = BatchGetDocumentsRequest(database=self._database, documents=self._names(3))
        self._mask(BatchGetDocumentsRequest.pb(request).mask)
        return request

    def _mask(self, mask: Any) -> None:
        if self._rng.random() < 0.4:
            mask.field_paths.extend(self._rng.sample(_PATHS, self._rng.randint(1, 3)))

    def _list_documents(self) -> Request:
        parent, collection = self._rng.choice((self._collection(), (self._root, "users")))
        return ListDocumentsRequest(
            parent=parent,
            collection_id=collection,
            show_missing=self._rng.random() < 0.5,
            page_size=self._rng.choice((0, 0, 50)),
        )

    def _list_collection_ids(self) -> Request:
        return ListCollectionIdsRequest(
            parent=self._rng.choice((self._root, self._collection()[0], f"{self._root}/users/u"))
        )

    def _query(self) -> Request:
        request = RunQueryRequest()
        parent = self._structured(RunQueryRequest.pb(request).structured_query)
        request.parent = parent
        return request

    def _aggregation(self) -> Request:
        request = RunAggregationQueryRequest()
        asked = RunAggregationQueryRequest.pb(request).structured_aggregation_query
        asked.structured_query.from_.add().collection_id = "targets"
        if self._rng.random() < 0.6:
            self._add_filter(asked.structured_query.where)
        one = asked.aggregations.add()
        one.count.SetInParent()
        if self._rng.random() < 0.5:
            one.count.up_to.value = self._rng.randint(1, 3)
        two = asked.aggregations.add()
        getattr(two, self._rng.choice(("sum", "avg"))).field.field_path = "n"
        two.alias = "it"
        request.parent = self._collection()[0]
        return request

    def _structured(self, query: Any) -> str:
        """Fill in a query, and return its parent."""
        rng, source = self._rng, query.from_.add()
        source.collection_id = "targets"
        source.all_descendants = rng.random() < 0.4
        if rng.random() < 0.8:
            self._add_filter(query.where)
        orders = rng.sample(("n", "s", "any", "m.k", "__name__"), rng.choice((0, 0, 1, 1, 2)))
        if "__name__" in orders:
            # What comes after the name orders nothing.
            orders = orders[: orders.index("__name__") + 1]
        for path in orders:
            order = query.order_by.add()
            order.field.field_path = path
            order.direction = rng.choice((_Direction.ASCENDING, _Direction.DESCENDING))
        if orders:
            self._add_cursors(query, orders)
        if rng.random() < 0.3:
            query.limit.value = rng.randint(1, 4)
        if rng.random() < 0.2:
            query.offset = rng.randint(1, 3)
        if rng.random() < 0.3:
            for path in rng.sample((*_PATHS, "__name__"), rng.randint(1, 2)):
                query.select.fields.add().field_path = path
        return self._root if source.all_descendants else self._collection()[0]

    def _add_cursors(self, query: Any, orders: list[str]) -> None:
        for cursor in (query.start_at, query.end_at):
            if self._rng.random() < 0.3:
                for path in orders[: self._rng.randint(1, len(orders))]:
                    cursor.values.append(self._bound(path))
                cursor.before = self._rng.random() < 0.5

    def _bound(self, path: str) -> Any:
        if path != "__name__":
            return self.number() if path == "n" else self.value()
        parent, collection = self._collection()
        name = f"{parent}/{collection}/{self._rng.choice(_IDS)}"
        return _Value(reference_value=name)

    def _add_filter(self, where: Any, depth: int = 0) -> None:
        rng = self._rng
        chance = rng.random()
        if chance < 0.2 and depth < 2:
            where.composite_filter.op = rng.choice((_Composite.AND, _Composite.OR))
            for _ in range(2):
                self._add_filter(where.composite_filter.filters.add(), depth + 1)
            return
        path = rng.choice(("n", "s", "any", "m.k", "keys"))
        if chance < 0.35:
            where.unary_filter.field.field_path = path
            where.unary_filter.op = rng.choice(
                (_Unary.IS_NAN, _Unary.IS_NULL, _Unary.IS_NOT_NAN, _Unary.IS_NOT_NULL)
            )
            return
        asked = where.field_filter
        op = rng.choice(_OPS)
        asked.field.field_path = path
        asked.op = op
        if op in (_Op.IN, _Op.NOT_IN, _Op.ARRAY_CONTAINS_ANY):
            asked.value.array_value.values.extend(self._comparable(path) for _ in range(2))
        else:
            asked.value.CopyFrom(self._comparable(path))

    def _comparable(self, path: str) -> Any:
        """Return a value that a filter may have: clients ask for null and NaN in another way."""
        while True:
            value = self._bound(path)
            if rank(value) is not Rank.NULL and not is_nan(value):
                return value
