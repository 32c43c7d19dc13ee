"""`vmhub optout`: record people who want no messages, one by one or from a list."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - Typer looks at it while the program runs
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from loader.base.cnpj import parse_cnpj
from loader.base.errors import ConfigurationError
from loader.cli.options import (
    CnpjOption,
    JsonOption,
    named_laundromats,
    open_services,
    parse_instant,
)
from loader.cli.output import print_json, result_console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loader.base.cnpj import Cnpj
    from loader.firestore.changes import ChangeReader
    from loader.firestore.suppressions import SuppressionStore
    from loader.operations.optouts.actions import NamedPerson, OptOutReport
    from loader.services import Services

__all__ = ["optout_app"]

optout_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="""Record who wants no messages.

    Each opt-out is a document in Firestore. The sender and `vmhub sync` respect it at once;
    `vmhub track` brings it into BigQuery for the next build.

    Example: vmhub optout add --cnpj 12ABC34501DE35 --customer 1004
    """,
)

PhoneOption = Annotated[
    str | None, typer.Option(help="The phone, as people write it.", metavar="PHONE")
]
CustomerOption = Annotated[
    str | None, typer.Option("--customer", help="The customer's id, as in clientes.id.")
]


@optout_app.command("add")
def optout_add(
    cnpj: CnpjOption,
    phone: PhoneOption = None,
    customer: CustomerOption = None,
    source: Annotated[str, typer.Option(help="Where the person said so.")] = "OPERATOR",
    at: Annotated[
        str | None,
        typer.Option(help="When, ISO 8601 with an offset; default: now.", metavar="T"),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Record that one person wants no messages.

    Example: vmhub optout add --cnpj 12ABC34501DE35 --phone "(11) 90000-0001"
    """
    from loader.operations.optouts.actions import opt_out  # noqa: PLC0415

    said_at = parse_instant(at, "--at")
    services, parsed = open_services(), parse_cnpj(cnpj)
    kind, people = _source(source), _people(services, parsed, phone, customer)
    report = opt_out(
        *_access(services, parsed),
        parsed,
        people,
        source=kind,
        at=said_at,
        audit=services.new_audit_log("vmhub optout add"),
        subject=_subject(services, parsed, people),
    )
    _show([report], as_json=as_json)


@optout_app.command("remove")
def optout_remove(
    cnpj: CnpjOption,
    phone: PhoneOption = None,
    customer: CustomerOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """End every opt-out of a person who wants messages again.

    Example: vmhub optout remove --cnpj 12ABC34501DE35 --customer 1004
    """
    from loader.operations.optouts.actions import opt_in  # noqa: PLC0415

    services, parsed = open_services(), parse_cnpj(cnpj)
    now = parse_instant(None)
    access, audit = _access(services, parsed), services.new_audit_log("vmhub optout remove")
    reports = [
        opt_in(
            *access,
            parsed,
            person,
            now=now,
            audit=audit,
            subject=_subject(services, parsed, [person]),
        )
        for person in _people(services, parsed, phone, customer)
    ]
    if not any(report.written for report in reports):
        message = f"no opt-out in Firestore names that person at {parsed}"
        hint = f"one that only {parsed}_CAMPAIGN.opt_outs has gets its resumed_at there"
        raise ConfigurationError(message, hint=hint)
    _show(reports, as_json=as_json)


@optout_app.command("import")
def optout_import(
    file: Annotated[Path, typer.Argument(help="A CSV file, or one phone a line.")],
    cnpj: Annotated[
        list[str] | None,
        typer.Option("--cnpj", help="A laundromat; can be repeated."),
    ] = None,
    source: Annotated[str, typer.Option(help="Whose list it is.")] = "PROCON",
    column: Annotated[
        str | None, typer.Option(help="The column with the phones; default: telefone.")
    ] = None,
    *,
    is_all: Annotated[bool, typer.Option("--all", help="All active laundromats.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and count; write nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Record everybody on a list, such as Procon's "Não Me Ligue", as wanting no messages.

    A phone may have any form that it may have in clientes. If a row cannot be read, its line is
    named and nothing is written. The same list can be imported again.

    Example: vmhub optout import procon.csv --all --dry-run
    """
    from loader.operations.optouts.actions import NamedPerson, opt_out  # noqa: PLC0415
    from loader.operations.optouts.lists import file_digest, read_list  # noqa: PLC0415

    named, now = named_laundromats(cnpj, is_all=is_all), parse_instant(None)
    kind, texts = _source(source), read_list(file, column)
    services = open_services()
    if named is None:
        fleet = services.registry.fleet()
        if fleet.errors:
            message = f"the registry entries of {', '.join(sorted(fleet.errors))} cannot be read"
            raise ConfigurationError(message, hint="correct them, or name laundromats by --cnpj")
        cnpjs = [entry.cnpj for entry in fleet.entries]
    else:
        cnpjs = [services.registry.entry(one).cnpj for one in named]
    if not cnpjs:
        message = "no laundromat is registered"
        raise ConfigurationError(message, hint="run `vmhub onboard` first")
    phones = _phones(services, cnpjs[0], texts)
    people = [NamedPerson(phone=phone) for phone in phones]
    digest, audit = file_digest(file), services.new_audit_log("vmhub optout import")
    reports = [
        opt_out(
            *_access(services, one),
            one,
            people,
            source=kind,
            at=now,
            audit=audit,
            subject="" if dry_run else f"opt-outs of {services.list_name(one, digest)}",
            is_dry_run=dry_run,
        )
        for one in cnpjs
    ]
    _show(reports, as_json=as_json)


def _access(services: Services, cnpj: Cnpj) -> tuple[ChangeReader, SuppressionStore]:
    from loader.base.retry import Retry  # noqa: PLC0415
    from loader.firestore.changes import ChangeReader  # noqa: PLC0415
    from loader.firestore.suppressions import SuppressionStore  # noqa: PLC0415

    return ChangeReader(services.database, Retry()), SuppressionStore(services.database, cnpj)


def _people(
    services: Services, cnpj: Cnpj, phone: str | None, customer: str | None
) -> list[NamedPerson]:
    """Return the people that the options name; --phone may hold several numbers."""
    from loader.operations.optouts.actions import NamedPerson  # noqa: PLC0415

    services.registry.entry(cnpj)
    if not phone and not customer:
        message = "nobody is named"
        raise ConfigurationError(message, hint="give --phone, --customer or both")
    if not phone:
        return [NamedPerson(customer_id=customer)]
    return [
        NamedPerson(phone=found, customer_id=customer)
        for found in _phones(services, cnpj, {1: phone})
    ]


def _subject(services: Services, cnpj: Cnpj, people: Sequence[NamedPerson]) -> str:
    """Return who the people are in the audit log."""
    name = services.pseudonyms(cnpj)
    names = [
        f"{kind} {name(identifier)}"
        for kind, identifiers in (
            ("customer", {person.customer_id for person in people}),
            ("phone", {person.phone for person in people}),
        )
        for identifier in sorted(filter(None, identifiers))
    ]
    return f"opt-out of {', '.join(names)}"


def _phones(services: Services, cnpj: Cnpj, texts: Mapping[int, str]) -> list[str]:
    """Return each phone of the texts once; refuse all texts if one cannot be read."""
    from loader.dbt.spec import BuildSpec  # noqa: PLC0415
    from loader.operations.optouts.lists import refuse_unreadable  # noqa: PLC0415
    from loader.operations.optouts.phones import read_phones  # noqa: PLC0415

    spec = BuildSpec(services.laundromat(cnpj).settings, parse_instant(None))
    phones = read_phones(services.warehouse.acting_for(cnpj), services.dbt, spec, texts)
    refuse_unreadable(phones)
    return sorted({phone for found in phones.values() for phone in found or ()})


def _source(text: str) -> str:
    source = text.strip().upper()
    if not source.replace("_", "").isalnum() or not source.isascii():
        message = "--source is not one word"
        raise ConfigurationError(message, hint="use letters, digits and underscores: PROCON")
    return source


def _show(reports: Sequence[OptOutReport], *, as_json: bool) -> None:
    if as_json:
        print_json({"laundromats": [asdict(report) for report in reports]})
        return
    console = result_console()
    table = Table()
    for heading in ("CNPJ", "people", "written", "known before"):
        table.add_column(heading)
    for report in reports:
        written = f"{report.written} (dry run)" if report.is_dry_run else str(report.written)
        table.add_row(report.cnpj, str(report.people), written, str(report.unchanged))
    console.print(table)
