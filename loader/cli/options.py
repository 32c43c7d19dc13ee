"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from loader.base.cnpj import parse_cnpj
from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from loader.base.cnpj import Cnpj
    from loader.services import Services

__all__ = [
    "AsOfOption",
    "CnpjOption",
    "JsonOption",
    "named_laundromats",
    "open_services",
    "parse_instant",
]

# The years in which BigQuery and its time zones can be used.
_FIRST_YEAR, _LAST_YEAR = 1900, 2100

CnpjOption = Annotated[
    str, typer.Option("--cnpj", help="The laundromat: 14 characters, punctuation is ignored.")
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of", help="The run's instant, ISO 8601 with an offset; default: now.", metavar="T"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def named_laundromats(named: list[str] | None, *, is_all: bool) -> list[Cnpj] | None:
    """Return the CNPJs given by --cnpj; None: all.

    Raises:
        ConfigurationError: Neither --cnpj nor --all is given, or both are.

    """
    if bool(named) == is_all:
        message = "pass --cnpj or --all, not both" if is_all else "no laundromat is named"
        raise ConfigurationError(message, hint="give --cnpj, once or more, or --all")
    return None if is_all else [parse_cnpj(text) for text in named or ()]


def parse_instant(text: str | None, option: str = "--as-of") -> datetime:
    """Return an instant in UTC.

    Args:
        text: As it was typed; None: now.
        option: The option's name, for the error.

    Raises:
        ConfigurationError: It is not an ISO 8601 instant of the years 1900 to 2100 with an offset.

    """
    if text is None:
        return datetime.now(UTC)
    problem = "is not an instant"
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            problem = "is an instant without an offset from UTC"
        elif not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
            problem = (
                f"is an instant of the year {instant.year}, not of {_FIRST_YEAR} to {_LAST_YEAR}"
            )
        else:
            return instant.astimezone(UTC)
    except ValueError:
        pass
    message = f"{option} {problem}"
    raise ConfigurationError(message, hint="write it as 2026-11-23T10:00:00-03:00")


def open_services() -> Services:
    """Return the services of this folder's project and this environment."""
    # Imported here: Google's clients take seconds, and help and usage errors do not need them.
    from loader.services import Services  # noqa: PLC0415

    return Services.open()
