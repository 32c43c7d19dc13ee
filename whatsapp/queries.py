"""The Firestore queries of the sender and the webhook."""

from __future__ import annotations

from typing import Any

from google.cloud.firestore_v1.types import RunQueryRequest

__all__ = ["CONTAINS_ANY", "EQUAL", "FROM_ON", "IN", "query_request", "text_values"]

EQUAL, FROM_ON, CONTAINS_ANY = "EQUAL", "GREATER_THAN_OR_EQUAL", "ARRAY_CONTAINS_ANY"
IN = "IN"


def query_request(
    parent: str,
    collection_id: str,
    filters: list[tuple[str, str, dict[str, Any]]],
    *,
    fields: tuple[str, ...] = (),
    order: tuple[str, ...] = (),
    all_descendants: bool = False,
    limit: int | None = None,
) -> RunQueryRequest:
    """Return a query.

    Args:
        parent: The full name of the document above, or the root.
        collection_id: The collection.
        filters: Field, operator and raw value; all must hold.
        fields: The fields to read; empty: all.
        order: Fields, ascending.
        all_descendants: Search all collections with this name below the parent.
        limit: The most documents to return.

    """
    conditions = [
        {"field_filter": {"field": {"field_path": path}, "op": op, "value": value}}
        for path, op, value in filters
    ]
    selector = {"collection_id": collection_id, "all_descendants": all_descendants}
    query: dict[str, Any] = {"from_": [selector]}
    if fields:
        query["select"] = {"fields": [{"field_path": path} for path in fields]}
    if len(conditions) == 1:
        query["where"] = conditions[0]
    elif conditions:
        query["where"] = {"composite_filter": {"op": "AND", "filters": conditions}}
    if order:
        query["order_by"] = [
            {"field": {"field_path": path}, "direction": "ASCENDING"} for path in order
        ]
    if limit is not None:
        query["limit"] = limit
    return RunQueryRequest(parent=parent, structured_query=query)


def text_values(texts: list[str]) -> dict[str, Any]:
    """Return a list of texts as a raw value."""
    return {"array_value": {"values": [{"string_value": text} for text in texts]}}
