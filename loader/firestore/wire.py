"""Encodes Python values directly as bytes of Firestore's wire format.

Filling generated protobuf messages field by field costs twice the CPU, and the client's own
helpers about twenty times. Two properties of the format keep this short
(https://protobuf.dev/programming-guides/encoding). A message is the sequence of its fields, so
encoded parts can be joined. And the bytes before a text depend only on the field's name and the
text's size, so they are cached. The tests compare every value with what the official client reads.
"""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from loader.sync.ports import UnfitValueError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SERVER_TIME", "delimited", "encode_fields", "encode_instant"]

# https://cloud.google.com/firestore/quotas
_MAX_DEPTH = 20
_RESERVED_NAME = re.compile(r"__.*__", re.DOTALL)
_INT64 = range(-(2**63), 2**63)

# A tag is the field's number times 8 plus its wire type: 0 number, 1 eight bytes, 2 size and bytes.
_ENTRY_KEY, _ENTRY_VALUE = b"\x0a", b"\x12"
_MAP_ENTRY, _DOCUMENT_ENTRY, _ARRAY_ITEM = b"\x0a", b"\x12", b"\x0a"
_BOOLEAN, _INTEGER, _DOUBLE, _NULL = b"\x08", b"\x10", b"\x19", b"\x58\x00"
_MAP, _ARRAY, _TIMESTAMP, _STRING = b"\x32", b"\x4a", b"\x52", b"\x8a\x01"
_SECONDS, _NANOS = b"\x08", b"\x10"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

_KEPT_SIZES = 4096
_KEPT_NAMES = 1024


class ServerTime(Enum):
    """A field's value that Firestore fills in."""

    REQUEST_TIME = "REQUEST_TIME"


SERVER_TIME = ServerTime.REQUEST_TIME
"""Firestore's time of the write, as a value for `loader.firestore.aio.encoded_write`.

``updatedAt`` must have it: a program may be frozen for hours between looking at its clock and
writing, or its clock may be wrong, and tracking reads only what changed since it last looked.
"""


def encode_fields(values: Mapping[str, Any]) -> bytes:
    """Return the ``fields`` of a document, ready to be joined with its other parts.

    Args:
        values: None, bool, int, float, str, aware datetime, and lists and mappings of them.

    Raises:
        UnfitValueError: Firestore cannot store a value.
        TypeError: A value has another type.

    """
    return _entries(values, _DOCUMENT_HEADS, 0)


def encode_instant(instant: datetime) -> bytes:
    """Return a protobuf Timestamp's fields."""
    seconds, rest = divmod(instant - _EPOCH, _SECOND)
    return _SECONDS + _varint(seconds) + _NANOS + _varint(rest.microseconds * 1000)


def delimited(tag: bytes, content: bytes) -> bytes:
    """Return a field that holds bytes, a text or a message."""
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if 0 <= number < len(_SHORT):
        return _SHORT[number]
    return _long_varint(number)


def _long_varint(number: int) -> bytes:
    number &= 0xFFFF_FFFF_FFFF_FFFF
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_SHORT = tuple(_long_varint(number) for number in range(_KEPT_SIZES))


class _Heads(dict[int, bytes]):
    """The bytes before a named value of one kind, by the value's size in bytes."""

    def __init__(self, entry: bytes, name: str, kind: bytes | None) -> None:
        super().__init__()
        self._entry = entry
        self._key = delimited(_ENTRY_KEY, name.encode()) + _ENTRY_VALUE
        self._kind = kind

    def __missing__(self, size: int) -> bytes:
        value = b"" if self._kind is None else self._kind + _varint(size)
        key = self._key + _varint(len(value) + size) + value
        head = self._entry + _varint(len(key) + size) + key
        if size < _KEPT_SIZES:
            self[size] = head
        return head


class _Names(dict[str, _Heads]):
    """The heads of every field name seen so far."""

    def __init__(self, entry: bytes, kind: bytes | None) -> None:
        super().__init__()
        self._entry = entry
        self._kind = kind

    def __missing__(self, name: str) -> _Heads:
        if not name or _RESERVED_NAME.fullmatch(name):
            message = "the payload has a field whose name is empty or reserved"
            raise UnfitValueError(message)
        if len(self) >= _KEPT_NAMES:
            self.clear()
        heads = self[name] = _Heads(self._entry, name, self._kind)
        return heads


class _AllHeads:
    """The heads for each kind of value, with or without a size."""

    def __init__(self, entry: bytes) -> None:
        self.text = _Names(entry, _STRING)
        self.map = _Names(entry, _MAP)
        self.array = _Names(entry, _ARRAY)
        self.bare = _Names(entry, None)


_DOCUMENT_HEADS = _AllHeads(_DOCUMENT_ENTRY)
_MAP_HEADS = _AllHeads(_MAP_ENTRY)


def _entries(values: Mapping[str, Any], heads: _AllHeads, depth: int) -> bytes:
    """Return a map's entries, each value behind its head."""
    if depth > _MAX_DEPTH:
        message = f"the payload is nested more than {_MAX_DEPTH} levels deep"
        raise UnfitValueError(message)
    parts = []
    texts = heads.text
    for name, value in values.items():
        kind = type(value)
        if kind is str:
            content = value.encode()
            parts.append(texts[name][len(content)])
        elif kind is dict:
            content = _entries(value, _MAP_HEADS, depth + 1)
            parts.append(heads.map[name][len(content)])
        elif kind is list:
            content = _items(value, depth + 1)
            parts.append(heads.array[name][len(content)])
        else:
            content = _scalar(value)
            parts.append(heads.bare[name][len(content)])
        parts.append(content)
    return b"".join(parts)


def _items(items: list[Any], depth: int) -> bytes:
    """Return an array's items."""
    if depth > _MAX_DEPTH:
        message = f"the payload is nested more than {_MAX_DEPTH} levels deep"
        raise UnfitValueError(message)
    parts = []
    for item in items:
        if isinstance(item, dict):
            value = delimited(_MAP, _entries(item, _MAP_HEADS, depth + 1))
        elif isinstance(item, str):
            value = delimited(_STRING, item.encode())
        elif isinstance(item, list):
            message = "the payload has a list directly in a list"
            raise UnfitValueError(message)
        else:
            value = _scalar(item)
        parts.append(delimited(_ARRAY_ITEM, value))
    return b"".join(parts)


def _scalar(value: Any) -> bytes:
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return _BOOLEAN + (b"\x01" if value else b"\x00")
    if isinstance(value, int):
        if value not in _INT64:
            message = "the payload has an integer beyond 64 bits"
            raise UnfitValueError(message)
        return _INTEGER + _varint(value)
    if isinstance(value, float):
        return _DOUBLE + struct.pack("<d", value)
    if isinstance(value, datetime):
        return delimited(_TIMESTAMP, encode_instant(value))
    message = f"a {type(value).__name__} has no Firestore value"
    raise TypeError(message)
