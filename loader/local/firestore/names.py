"""Names of documents and paths of fields."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from loader.local.firestore.refusal import invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_document_name", "check_parent", "field_path"]

# The name begins with projects/P/databases/D/documents.
_ROOT = 5
_ILLEGAL_ID = re.compile(r"|\.{1,2}|__.*__", re.DOTALL)
_MOST_BYTES_OF_AN_ID = 1500
_SEGMENT = re.compile(r"`((?:[^`\\]|\\.)+)`|([A-Za-z_][A-Za-z_0-9]*)")


def check_document_name(name: str) -> None:
    """Refuse a name that no document can have."""
    segments = name.split("/")
    if len(segments) < _ROOT + 2 or len(segments) % 2 == 0:
        invalid(f'Document name "{name}" is not the name of a document.')
    _check(segments)


def check_parent(name: str) -> None:
    """Refuse a name that is neither the root of a database nor a document."""
    segments = name.split("/")
    if len(segments) < _ROOT or len(segments) % 2 == 0:
        invalid(f'Parent "{name}" is neither a database nor a document.')
    _check(segments)


def _check(segments: Sequence[str]) -> None:
    if segments[0] != "projects" or segments[2] != "databases" or segments[4] != "documents":
        invalid("The name does not begin with projects/…/databases/…/documents.")
    for segment in segments[_ROOT:]:
        if _ILLEGAL_ID.fullmatch(segment) or len(segment.encode()) > _MOST_BYTES_OF_AN_ID:
            invalid(f'"{segment}" cannot be the id of a document or collection.')


@lru_cache(1000)
def field_path(path: str) -> tuple[str, ...]:
    """Return the segments of a field's path; a segment may stand in backticks."""
    segments, position = [], 0
    while match := _SEGMENT.match(path, position):
        quoted, plain = match.groups()
        segments.append(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain)
        position = match.end()
        if position == len(path):
            return tuple(segments)
        if path[position] != ".":
            break
        position += 1
    return invalid(f'Invalid property path "{path}".')
