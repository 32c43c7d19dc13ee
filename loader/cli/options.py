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


def parse_instant(text: str | None) -> datetime:
    """Return an instant in UTC.

    Raises:
        ConfigurationError: It is not an ISO 8601 instant, or has no offset.

    """
    if text is None:
        return datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        message = f"'{text}' is not an instant"
        raise ConfigurationError(message, hint="write it as 2026-11-23T10:00:00-03:00")
    return instant.astimezone(UTC)


def open_services() -> Services:
    """Return the services of this folder's project and this environment."""
    # Imported here: Google's clients take seconds, and help and usage errors do not need them.
    from loader.services import Services  # noqa: PLC0415

    return Services.open()
