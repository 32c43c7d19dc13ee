"""Fields that other programs write, each read as the one type that it must have.

An unambiguous value is read even if it has another type: an instant as ISO text or as seconds since
1970, a count as text. Anything else is a problem, which names the field and the kind of its value,
but never quotes the value. The caller decides what a problem means; the rule of this project is
that a doubt never leads to a second message.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MAX_COUNT", "Fields", "UnreadableError"]

ValueT = TypeVar("ValueT")

MAX_COUNT = 1000
"""The largest valid count, such as a number of attempts."""
_MAX_TEXT = 4096
_MAX_ENTRIES = 100

# All messages are from these years; any other value is not an instant.
_FIRST_YEAR, _LAST_YEAR = 2000, 2099
_EPOCH_SECONDS = range(10**9, 10**10)
_EPOCH_MILLISECONDS = range(10**12, 10**13)
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_DIGITS = re.compile(r"[0-9]{1,9}")
_FLAGS = {"true": True, "false": False}


class UnreadableError(ValueError):
    """A value does not have the requested type; the text says what it is instead."""


class Fields:
    """A document's fields."""

    def __init__(self, values: Mapping[str, Any], place: str = "") -> None:
        """Read these fields.

        Args:
            values: As Firestore has them.
            place: The name of the map that they are in, such as ``lastError``; empty: the document.

        """
        self.problems: list[str] = []
        """The problems, one phrase each, such as ``readAt is a yes or no``."""
        self._values = values
        self._place = place

    def is_there(self, name: str) -> bool:
        """Return whether a field has a value of any type."""
        return self._values.get(name) is not None

    def text(self, name: str, *, most: int = _MAX_TEXT) -> str | None:
        """Return a text of at most ``most`` characters."""

        def read(value: Any) -> str:
            if not isinstance(value, str):
                raise UnreadableError(_kind(value))
            if len(value) > most:
                message = f"a text of more than {most} characters"
                raise UnreadableError(message)
            return value

        return self._read(name, read)

    def code(self, name: str) -> str | None:
        """Return a short code of letters, digits and ``_.:-``, such as ``131026``."""
        return self._read(name, read_code)

    def flag(self, name: str) -> bool | None:
        """Return a yes or no."""
        return self._read(name, read_flag)

    def switch(self, name: str) -> bool | None:
        """Return a boolean; unlike `flag`, a text or number is not accepted."""

        def read(value: Any) -> bool:
            if not isinstance(value, bool):
                raise UnreadableError(_kind(value))
            return value

        return self._read(name, read)

    def count(self, name: str) -> int | None:
        """Return a whole number from 0 to `MAX_COUNT`."""
        return self._read(name, read_count)

    def instant(self, name: str) -> datetime | None:
        """Return an instant of the years 2000 to 2099, in UTC."""
        return self._read(name, read_instant)

    def map(self, name: str) -> Fields:
        """Return a map's fields, empty if there is no map; its problems are added here."""
        value = self._read(name, _read_map) or {}
        inner = Fields(value, f"{self._place}{name}.")
        inner.problems = self.problems
        return inner

    def maps(self, name: str) -> list[Fields]:
        """Return the maps of a list; their problems are added here."""
        found = []
        for position, value in enumerate(self._read(name, _read_list) or []):
            place = f"{self._place}{name}[{position}]"
            if isinstance(value, dict):
                entry = Fields(value, f"{place}.")
                entry.problems = self.problems
                found.append(entry)
            else:
                self.problems.append(f"{place} is {_kind(value)}")
        return found

    def texts(self, name: str, *, most: int = _MAX_TEXT) -> list[str]:
        """Return the texts of a list, each of at most ``most`` characters."""
        found = []
        for position, value in enumerate(self._read(name, _read_list) or []):
            entry = Fields({"": value}, f"{self._place}{name}[{position}]")
            entry.problems = self.problems
            text = entry.text("", most=most)
            if text is not None:
                found.append(text)
        return found

    def _read(self, name: str, read: Callable[[Any], ValueT]) -> ValueT | None:
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return read(value)
        except UnreadableError as error:
            self.problems.append(f"{self._place}{name} is {error}")
            return None


def read_flag(value: Any) -> bool:
    """Return a yes or no; raise an UnreadableError when it is neither."""
    if isinstance(value, bool):
        return value
    flag = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else None
    if flag is None:
        raise UnreadableError(_kind(value))
    return flag


def read_count(value: Any) -> int:
    """Return a count; raise an UnreadableError when it is not a count."""
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        value = int(value)
    is_whole = (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value) and value == int(value)
    )
    if not is_whole:
        raise UnreadableError(_kind(value))
    if not 0 <= value <= MAX_COUNT:
        message = f"a number that is not from 0 to {MAX_COUNT}"
        raise UnreadableError(message)
    return int(value)


def read_code(value: Any) -> str:
    """Return a code; raise an UnreadableError when it is not a code."""
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise UnreadableError(_kind(value))
    if not _CODE.fullmatch(value):
        message = "a text that is not a code"
        raise UnreadableError(message)
    return value


def read_instant(value: Any) -> datetime:
    """Return an instant; raise an UnreadableError when it is not an instant."""
    instant = _instant(value)
    if not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        message = f"an instant that is not of the years {_FIRST_YEAR} to {_LAST_YEAR}"
        raise UnreadableError(message)
    return instant


def _instant(value: Any) -> datetime:
    match value:
        case datetime():
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        case str():
            return _instant_of_text(value)
        case bool():
            raise UnreadableError(_kind(value))
        case int() | float() if math.isfinite(value) and int(value) in _EPOCH_SECONDS:
            return datetime.fromtimestamp(value, UTC)
        case int() | float() if math.isfinite(value) and int(value) in _EPOCH_MILLISECONDS:
            return datetime.fromtimestamp(value / 1000, UTC)
        case {"seconds": int(seconds)} | {"_seconds": int(seconds)}:
            return _instant(seconds)
        case _:
            raise UnreadableError(_kind(value))


def _instant_of_text(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        message = "a text that is not an instant with an offset"
        raise UnreadableError(message)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        message = f"an instant that is not of the years {_FIRST_YEAR} to {_LAST_YEAR}"
        raise UnreadableError(message) from None


def _read_map(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnreadableError(_kind(value))
    return value


def _read_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UnreadableError(_kind(value))
    if len(value) > _MAX_ENTRIES:
        message = f"a list of more than {_MAX_ENTRIES} entries"
        raise UnreadableError(message)
    return value


def _kind(value: Any) -> str:
    """Return what a value is, in words, without quoting it."""
    match value:
        case bool():
            return "a yes or no"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "a map"
        case datetime():
            return "an instant"
        case _:
            return "of another type"
