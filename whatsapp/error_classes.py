"""What an error code of WhatsApp means: one reader of seeds/whatsapp_error_classes.csv.

The SQL of the figures joins the same file, so that a code has one meaning in the whole project.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["UNSETTLED_CODES", "ErrorClass", "ErrorClasses", "Meaning", "read_error_classes"]

_COLUMNS = ["code", "class", "counts_as_attempt"]
_BOOLEANS = {"true": True, "false": False}

UNSETTLED_CODES = frozenset({1, 2})
"""Codes of a general failure: an answer with one of them does not prove that nothing was sent."""


class ErrorClass(StrEnum):
    """What kind of failure a code is, and so what the sender does next."""

    TEMPORARY = "temporary"
    PAIR = "pair"
    DEFERRED = "deferred"
    OPTED_OUT = "opted_out"
    UNREACHABLE = "unreachable"
    CONTENT = "content"
    TEMPLATE = "template"
    ROUTE = "route"
    LAUNDROMAT = "laundromat"
    TOKEN = "token"  # noqa: S105 - a class of errors, not a secret
    PORTFOLIO = "portfolio"
    SENDER = "sender"


@dataclass(frozen=True)
class Meaning:
    """What one code means."""

    error_class: ErrorClass
    counts_as_attempt: bool
    """Whether the failure is one of the customer's `max_attempts`."""


@dataclass(frozen=True)
class ErrorClasses:
    """The meaning of every known code."""

    by_code: Mapping[int, Meaning]

    def of(self, code: int) -> Meaning:
        """Return the meaning of a code; a code that is not in the file counts as a sender fault."""
        return self.by_code.get(code, Meaning(ErrorClass.SENDER, counts_as_attempt=False))


def read_error_classes(file: Path) -> ErrorClasses:
    """Read the seed.

    Raises:
        ConfigurationError: The file is missing, or one of its rows cannot be read; the message
            names the line.

    """
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            reader = csv.DictReader(opened)
            if reader.fieldnames != _COLUMNS:
                msg = f"{file.name} has the columns {reader.fieldnames}"
                raise ConfigurationError(msg, hint=f"its first line must be {','.join(_COLUMNS)}")
            return ErrorClasses(_meanings(file.name, reader))
    except OSError as error:
        msg = f"{file} cannot be read ({error.strerror})"
        raise ConfigurationError(msg, hint="it is part of the project; restore it") from error


def _meanings(name: str, reader: csv.DictReader[str]) -> dict[int, Meaning]:
    """Return what the rows say; all codes of a class must have the same counts_as_attempt."""
    meanings: dict[int, Meaning] = {}
    counts: dict[ErrorClass, bool] = {}
    for row in reader:
        where = f"{name}, line {reader.line_num}"
        try:
            code = int(row["code"])
            meaning = Meaning(ErrorClass(row["class"]), _BOOLEANS[row["counts_as_attempt"]])
        except (KeyError, TypeError, ValueError) as error:
            hint = f"use a number, one of {', '.join(ErrorClass)}, and true or false"
            msg = f"{where} cannot be read"
            raise ConfigurationError(msg, hint=hint) from error
        if code in meanings:
            msg = f"{where} has the code {code} again"
            raise ConfigurationError(msg, hint="keep one of the two rows")
        if counts.setdefault(meaning.error_class, meaning.counts_as_attempt) is not (
            meaning.counts_as_attempt
        ):
            msg = f"{where} contradicts an earlier row of the class {meaning.error_class}"
            raise ConfigurationError(msg, hint="give all of a class the same counts_as_attempt")
        meanings[code] = meaning
    return meanings
