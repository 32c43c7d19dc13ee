"""`vmhub audit`: who changed something or looked at a named person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path  # noqa: TC003 - Typer looks at it while the program runs
from typing import TYPE_CHECKING, Annotated

import typer

from loader.base.cnpj import parse_cnpj
from loader.base.errors import ConfigurationError
from loader.bigquery.audit import AuditAction  # noqa: TC001 - Typer looks at it, too
from loader.cli.options import JsonOption, open_services, parse_instant
from loader.cli.output import line_console, print_result

if TYPE_CHECKING:
    from loader.base.cnpj import Cnpj
    from loader.bigquery.audit_reading import AuditQuestion, Recorded
    from loader.services import Services

__all__ = ["AuditAnswer", "audit_command", "audit_entries", "show_audit"]

_DEFAULT_DAYS = 30


@dataclass(frozen=True)
class AuditAnswer:
    """The entries that were asked for."""

    entries: tuple[Recorded, ...]
    """Newest first."""
    has_more: bool
    """Whether older entries were left out."""


def audit_command(
    cnpj: Annotated[
        str | None, typer.Option("--cnpj", help="This laundromat only; default: all.")
    ] = None,
    customer: Annotated[
        str | None,
        typer.Option("--customer", help="A customer's id, or a phone as +5511…; needs --cnpj."),
    ] = None,
    list_file: Annotated[
        Path | None,
        typer.Option("--list", help="The file of `vmhub optout import`; needs --cnpj."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help=f"ISO 8601 with an offset; default: {_DEFAULT_DAYS} days ago.", metavar="T"
        ),
    ] = None,
    action: Annotated[AuditAction | None, typer.Option(help="This action only.")] = None,
    *,
    limit: Annotated[int, typer.Option(help="Show the newest N.", min=1, max=10_000)] = 100,
    as_json: JsonOption = False,
) -> None:
    """Show who changed something or looked at a named person, newest first.

    docs/audit.md says what is recorded. The log has pseudonyms only, which --customer works out.

    Example: vmhub audit --cnpj 12ABC34501DE35 --customer 1004 --action LOOK
    """
    from loader.bigquery.audit_reading import AuditQuestion  # noqa: PLC0415

    parsed = parse_cnpj(cnpj) if cnpj else None
    instant = parse_instant(since, "--since")
    if since is None:
        instant -= timedelta(days=_DEFAULT_DAYS)
    services = open_services()
    pseudonym = _pseudonym(services, parsed, customer, list_file)
    question = AuditQuestion(instant, parsed, action, pseudonym)
    print_result(audit_entries(services, question, most=limit), show_audit, as_json=as_json)


def audit_entries(services: Services, question: AuditQuestion, *, most: int) -> AuditAnswer:
    """Return the newest entries that a question asks for."""
    from loader.bigquery.audit_reading import read_audit  # noqa: PLC0415

    found = read_audit(services.warehouse, question, most=most + 1)
    return AuditAnswer(tuple(found[:most]), has_more=len(found) > most)


def show_audit(answer: AuditAnswer) -> None:
    """Print one entry a line."""
    console = line_console()
    for entry in answer.entries:
        change = ""
        if entry.before is not None or entry.after is not None:
            change = f": {_values(entry.before)} → {_values(entry.after)}"
        console.print(
            f"{entry.recorded_at:%Y-%m-%d %H:%M:%SZ} {entry.actor} {entry.action} "
            f"{entry.cnpj or 'fleet'} {entry.subject}{change} ({entry.command})",
            markup=False,
        )
    if not answer.entries:
        console.print("No entry.")
    if answer.has_more:
        console.print("… and older ones; name a laundromat or an action, or raise --limit")


def _values(values: object) -> str:
    return "-" if values is None else json.dumps(values, ensure_ascii=False)


def _pseudonym(
    services: Services, cnpj: Cnpj | None, customer: str | None, list_file: Path | None
) -> str | None:
    from loader.operations.optouts.lists import file_digest  # noqa: PLC0415

    if customer is None and list_file is None:
        return None
    if cnpj is None or (customer and list_file):
        message = "a person or a list can be found by the key of one laundromat only"
        raise ConfigurationError(message, hint="give --cnpj, and either --customer or --list")
    if customer is not None:
        return services.pseudonym(cnpj, customer)
    assert list_file is not None
    return services.list_name(cnpj, file_digest(list_file))
