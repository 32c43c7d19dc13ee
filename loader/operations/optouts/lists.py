"""A list of phones, such as Procon's: a CSV file, or one phone per line."""

from __future__ import annotations

import csv
import hashlib
import re
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["file_digest", "read_list", "refuse_unreadable"]

_COLUMNS = ("telefone", "phone", "celular", "numero", "número", "fone")
_DELIMITERS = (";", "\t", ",")
_NUMBER = re.compile(r"\d{4}")
_SHOWN_LINES = 20


def read_list(path: Path, column: str | None) -> dict[int, str]:
    """Return the phone texts of a list by line number; empty lines are left out.

    The file is UTF-8 or Latin-1; semicolons, tabs or commas separate its fields. A file with one
    column needs no header.

    Args:
        path: The file.
        column: The name of the column with the phones; None: telefone, phone, celular, …

    Raises:
        ConfigurationError: The file cannot be read, or it is not clear which column has the phones.

    """
    raw = _content(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = text.splitlines()
    head = next((line for line in lines if line.strip()), "")
    delimiter = next((sign for sign in _DELIMITERS if sign in head), None)
    if delimiter is None and column is None and _NUMBER.search(head):
        return {place: line for place, line in enumerate(lines, 1) if line.strip()}
    reader = csv.reader(lines, delimiter=delimiter or ",")
    found: dict[int, str] = {}
    position: int | None = None
    for fields in reader:
        if not any(field.strip() for field in fields):
            continue
        if position is None:
            position = _position(path, fields, column)
            continue
        found[reader.line_num] = fields[position] if position < len(fields) else ""
    if not found:
        message = f"{path} has no row"
        raise ConfigurationError(message, hint="give a file with one phone a line, or a CSV file")
    return found


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    It can lead to the phones of a short list, since all phones can be tried. So only its pseudonym
    may be kept.

    Raises:
        ConfigurationError: The file cannot be read.

    """
    return hashlib.sha256(_content(path)).hexdigest()


def refuse_unreadable(phones: Mapping[int, list[str] | None]) -> None:
    """Raise a ConfigurationError that names the lines whose phone cannot be read."""
    lines = sorted(line for line, found in phones.items() if found is None)
    if not lines:
        return
    shown = ", ".join(str(line) for line in lines[:_SHOWN_LINES])
    more = f" and {len(lines) - _SHOWN_LINES} more" if len(lines) > _SHOWN_LINES else ""
    message = f"{len(lines)} of {len(phones)} rows have no mobile that can be read; nothing written"
    raise ConfigurationError(
        message, hint=f"correct or take out line {shown}{more}, then import the whole file again"
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror})"
        raise ConfigurationError(message, hint="give the path of a CSV file") from error


def _position(path: Path, header: list[str], column: str | None) -> int:
    names = [name.strip().lower() for name in header]
    wanted = (column.strip().lower(),) if column else _COLUMNS
    places = [place for place, name in enumerate(names) if name in wanted]
    if len(places) == 1:
        return places[0]
    message = f"{path} has {'no' if not places else 'more than one'} column for phones"
    raise ConfigurationError(message, hint="name it with --column; the first line has the names")
