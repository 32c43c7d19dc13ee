"""Reading and changing fields by their paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["holder_of", "masked", "removed", "value_at"]

_Document = Document.pb()


def value_at(fields: Any, path: Sequence[str]) -> Any | None:
    """Return the value at a path in a map of fields; None: there is none."""
    value = None
    for index, segment in enumerate(path):
        if segment not in fields:
            return None
        value = fields[segment]
        if index < len(path) - 1:
            if value.WhichOneof("value_type") != "map_value":
                return None
            fields = value.map_value.fields
    return value


def holder_of(fields: Any, path: Sequence[str]) -> Any:
    """Return the map in which a path's last segment stands; maps on the way are made."""
    for segment in path[:-1]:
        value = fields[segment]
        if value.WhichOneof("value_type") != "map_value":
            value.map_value.SetInParent()
        fields = value.map_value.fields
    return fields


def removed(fields: Any, path: Sequence[str]) -> None:
    """Remove the value at a path, if there is one."""
    if value_at(fields, path) is not None:
        holder_of(fields, path).pop(path[-1])


def masked(document: Any, paths: Iterable[Sequence[str]]) -> Any:
    """Return a document with only the fields at these paths."""
    shown = _Document(
        name=document.name, create_time=document.create_time, update_time=document.update_time
    )
    for path in paths:
        value = value_at(document.fields, path)
        if value is not None:
            holder_of(shown.fields, path)[path[-1]].CopyFrom(value)
    return shown
