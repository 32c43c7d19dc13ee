"""`vmhub privacy`: what is kept of a person, its erasure, and how long the rest is kept."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - Typer looks at it while the program runs
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from loader.base.cnpj import parse_cnpj
from loader.base.errors import ConfigurationError, ExitCode, VmhubError
from loader.cli.options import (
    CnpjOption,
    JsonOption,
    named_laundromats,
    open_services,
    parse_instant,
)
from loader.cli.output import print_json, result_console
from loader.cli.privacy_access import Access

if TYPE_CHECKING:
    from loader.base.cnpj import Cnpj
    from loader.laundromat import Laundromat
    from loader.operations.privacy.erase import ErasePlan, EraseReport
    from loader.operations.privacy.export import PersonExport
    from loader.operations.privacy.sweep import SweepReport
    from loader.services import Services

__all__ = ["privacy_app"]

privacy_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="""Answer a person's rights (LGPD): what is kept of them, and its erasure.

    docs/privacy.md says what is kept where, why and for how long.

    Example: vmhub privacy export --cnpj 12ABC34501DE35 --customer 1004 --out person.html
    """,
)

CustomerOption = Annotated[
    str, typer.Option("--customer", help="The customer's id, as in clientes.id.")
]


@privacy_app.command("export")
def privacy_export(
    cnpj: CnpjOption,
    customer: CustomerOption,
    out: Annotated[
        Path | None, typer.Option(help="A page to write for the person, such as person.html.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Collect everything that is kept of a person, as JSON or as a page in Portuguese.

    It covers BigQuery, also the laundromat's own RAW tables, and Firestore, for all ids with the
    same cpf. It is recorded in the audit, under a pseudonym.

    Example: vmhub privacy export --cnpj 12ABC34501DE35 --customer 1004 --out person.html
    """
    if out is None and not as_json:
        message = "neither --out nor --json says where the person's data go"
        raise ConfigurationError(message, hint="give --out person.html, or --json")
    from loader.bigquery.audit import AuditAction  # noqa: PLC0415
    from loader.operations.privacy.export import export_person  # noqa: PLC0415

    access = Access.of(open_services(), parse_cnpj(cnpj))
    audit = access.services.new_audit_log("vmhub privacy export")
    access.record(audit, AuditAction.EXPORT, customer)
    finder = access.finder()
    person = finder.find(customer, access.laundromat.campaign_types)
    warehouse, laundromat = access.services.warehouse, access.laundromat.cnpj
    export = export_person(finder, warehouse, laundromat, person, at=access.now)
    if out is not None:
        _write_page(export, access.laundromat, out)
    if as_json:
        print_json(export)
    else:
        rows = sum(len(table.rows) for table in export.tables)
        result_console().print(
            f"{export.cnpj}: {rows} rows of {len(export.tables)} tables and "
            f"{len(export.documents)} documents; {out}",
            markup=False,
            soft_wrap=True,
        )


@privacy_app.command("erase")
def privacy_erase(
    cnpj: CnpjOption,
    customer: CustomerOption,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Erase; without it, only say what.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a person: delete their documents, make their rows pseudonymous, never write again.

    Without --yes it lists what would be erased, by table and collection. RAW belongs to the
    laundromat: the command says what has to be erased there. Until then, builds leave the
    person out. Run the same command again if it was interrupted or says what is pending.

    Example: vmhub privacy erase --cnpj 12ABC34501DE35 --customer 1004 --yes
    """
    from loader.bigquery.audit import AuditAction  # noqa: PLC0415
    from loader.operations.privacy.erase import EraseReport  # noqa: PLC0415
    from loader.operations.privacy.held import held  # noqa: PLC0415

    access = Access.of(open_services(), parse_cnpj(cnpj))
    if not yes:
        report = EraseReport(_known(access.eraser(customer).plan), is_dry_run=True)
    else:
        audit = access.services.new_audit_log("vmhub privacy erase")
        access.record(audit, AuditAction.ERASE, customer)
        holder = f"privacy erase {access.pseudonym(customer)}"
        with held(access.services.database, access.laundromat.cnpj, holder) as lease:
            work = access.eraser(customer, on_step=lambda _: lease.renew())
            report = work.eraser.erase(_known(work.plan))
    if as_json:
        print_json(
            {
                **asdict(report),
                "copies_end_at": report.copies_end_at,
                "exit_code": report.exit_code,
            }
        )
    else:
        show_erasure(report)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


@privacy_app.command("sweep")
def privacy_sweep(
    cnpj: Annotated[
        list[str] | None, typer.Option("--cnpj", help="A laundromat; can be repeated.")
    ] = None,
    *,
    is_all: Annotated[bool, typer.Option("--all", help="All active laundromats.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it, only say what.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove personal data that was kept for as long as the settings *_kept_days say.

    Without --yes it lists what would be removed, by table and collection. With --all it also
    removes old records of the whole fleet. It can be run again at any time.

    Example: vmhub privacy sweep --all --yes
    """
    named = named_laundromats(cnpj, is_all=is_all)
    services = open_services()
    reports: list[SweepReport] = []
    if named is None:
        fleet = services.registry.fleet()
        named = [entry.cnpj for entry in fleet.entries]
        reports += [_failed_sweep(key, error, yes=yes) for key, error in fleet.errors.items()]
    for one in named:
        try:
            reports.append(_sweep(services, one, yes=yes))
        except VmhubError as error:
            # One laundromat's failure is not another's.
            reports.append(_failed_sweep(one, str(error), yes=yes))
    if is_all:
        reports.append(_sweep_fleet(services, yes=yes))
    if as_json:
        print_json({"laundromats": [asdict(report) for report in reports]})
    else:
        show_sweep(reports)
    if any(report.error for report in reports):
        is_failure = all(report.error for report in reports)
        raise typer.Exit(ExitCode.FAILED if is_failure else ExitCode.PARTLY_FAILED)


def _known(plan: ErasePlan) -> ErasePlan:
    """Return a plan if its person is known: a mistyped id must not be recorded as erased."""
    if not plan.is_known:
        message = f"{plan.cnpj} knows nobody with that customer id"
        raise ConfigurationError(
            message, hint="give an id of clientes.id or message_history.user_id"
        )
    return plan


def _write_page(export: PersonExport, laundromat: Laundromat, out: Path) -> None:
    from console.privacy.page import KeptData, KeptPart, render  # noqa: PLC0415
    from console.report.page_file import write_page  # noqa: PLC0415

    parts = [KeptPart(table.label, table.table, table.rows) for table in export.tables]
    by_label: dict[str, list[Any]] = {}
    for document in export.documents:
        by_label.setdefault(document.label, []).append(document.fields)
    parts += [KeptPart(label, "Firestore", rows) for label, rows in by_label.items()]
    kept = KeptData(
        laundromat.entry.name,
        export.cnpj,
        export.customer_id,
        export.exported_at,
        laundromat.settings["timezone"],
        parts,
    )
    write_page(out, render(kept))


def show_erasure(report: EraseReport) -> None:
    """Print what was or would be erased, what others must erase, and what is pending."""
    console, plan = result_console(), report.plan
    fates = {
        "deleted": "deleted",
        "pseudonyms": "pseudonyms only",
        "of_others": "others must erase",
    }
    table = Table("table or collection", "rows or documents", "becomes")
    for part in plan.parts:
        if part.count:
            table.add_row(part.place, str(part.count), fates[part.fate.value])
    ids = "1 id" if plan.customer_ids == 1 else f"{plan.customer_ids} ids with the same cpf"
    console.print(f"{plan.cnpj}, {plan.pseudonym}: {ids}", markup=False)
    console.print(table)
    for statement in plan.statements:
        console.print(f"for the owner of RAW: {statement}", markup=False, soft_wrap=True)
    if report.is_dry_run:
        console.print("Nothing was changed; --yes erases.")
    for line in report.pending:
        console.print(f"pending: {line}", markup=False, soft_wrap=True)
    if report.erased_at is not None and report.copies_end_at is not None:
        console.print(
            f"Erased at {report.erased_at:%Y-%m-%d %H:%MZ}. BigQuery's own copies end on "
            f"{report.copies_end_at:%Y-%m-%d}. {report.queries} statements, "
            f"{report.bytes_billed / 2**20:.0f} MiB billed, "
            f"{report.documents_read} documents read.",
            soft_wrap=True,
        )


def _sweep(services: Services, cnpj: Cnpj, *, yes: bool) -> SweepReport:
    """Sweep one laundromat."""
    from loader.bigquery.audit import AuditAction, AuditEntry  # noqa: PLC0415
    from loader.operations.privacy.held import held  # noqa: PLC0415
    from loader.operations.privacy.sweep import Sweeper, kept_days  # noqa: PLC0415

    access = Access.of(services, cnpj)
    days = kept_days(access.laundromat.settings)
    sweeper = Sweeper(
        services.warehouse,
        access.store(),
        cnpj,
        days,
        access.laundromat.campaign_types,
        access.now,
        access.laundromat.entry.believed(access.now).watermark.until,
        is_dry_run=not yes,
    )
    if not yes:
        return sweeper.sweep()
    entry = AuditEntry(AuditAction.SWEEP, "kept personal data", cnpj, after=days)
    services.new_audit_log("vmhub privacy sweep").record([entry])
    with held(services.database, cnpj, "privacy sweep") as lease:
        sweeper.on_step = lambda _: lease.renew()
        return sweeper.sweep()


def _sweep_fleet(services: Services, *, yes: bool) -> SweepReport:
    """Sweep the records of the whole fleet, by the project's own settings."""
    from loader.bigquery.audit import AuditAction, AuditEntry  # noqa: PLC0415
    from loader.operations.privacy.sweep import FleetSweeper, kept_days  # noqa: PLC0415

    days = kept_days(services.project.variables()["settings"])
    try:
        if yes:
            entry = AuditEntry(AuditAction.SWEEP, "records of the fleet", after=days)
            services.new_audit_log("vmhub privacy sweep").record([entry])
        return FleetSweeper(services.warehouse, days, parse_instant(None), not yes).sweep()
    except VmhubError as error:
        return _failed_sweep("", str(error), yes=yes)


def _failed_sweep(cnpj: str, error: str, *, yes: bool) -> SweepReport:
    from loader.operations.privacy.sweep import SweepReport  # noqa: PLC0415

    return SweepReport(cnpj, not yes, error=error)


def show_sweep(reports: list[SweepReport]) -> None:
    """Print what was or would be removed, and what failed."""
    console = result_console()
    table = Table("laundromat", "table or collection", "older than", "removed", "setting")
    for report in reports:
        for swept in report.swept:
            place = swept.place.removeprefix(f"users/{report.cnpj}/")
            table.add_row(
                report.cnpj or "the fleet",
                place,
                f"{swept.before:%Y-%m-%d}",
                str(swept.count),
                swept.setting or "-",
            )
    console.print(table)
    for report in reports:
        if report.error:
            console.print(
                f"{report.cnpj or 'the fleet'}: {report.error}", markup=False, soft_wrap=True
            )
    if any(report.is_dry_run for report in reports):
        console.print("Nothing was changed; --yes removes.")
