"""`vmhub track`: bring what became of the messages back into BigQuery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from loader.cli.options import (
    AsOfOption,
    JsonOption,
    named_laundromats,
    open_services,
    parse_instant,
)
from loader.cli.output import (
    list_lines,
    print_result,
    result_console,
)

if TYPE_CHECKING:
    from loader.track.tracking import TrackReport

__all__ = ["track_command"]


def track_command(
    cnpj: Annotated[
        list[str] | None,
        typer.Option("--cnpj", help="A laundromat; can be repeated."),
    ] = None,
    as_of: AsOfOption = None,
    *,
    is_all: Annotated[bool, typer.Option("--all", help="All active laundromats.")] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Read all documents, for senders that do not set updatedAt."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring message_history and opt_outs up to date with what became of the messages.

    Example: vmhub track --all
    """
    instant = parse_instant(as_of)
    report = open_services().track(
        named_laundromats(cnpj, is_all=is_all), as_of=instant, is_full=full
    )
    print_result(report, show_track, as_json=as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def show_track(report: TrackReport) -> None:
    """Print one row per laundromat that had news or an error."""
    console = result_console()
    kind = "all documents" if report.is_full else "changed documents"
    console.print(
        f"Tracked as of {report.as_of:%Y-%m-%d %H:%M:%SZ}: {report.documents_read} {kind} of "
        f"{len(report.laundromats)} laundromats"
    )
    table = Table()
    for heading in ("CNPJ", "documents", "attempts", "opt-outs", "unreadable", "error"):
        table.add_column(heading)
    for laundromat in report.laundromats:
        if laundromat.documents or laundromat.error:
            table.add_row(
                laundromat.cnpj,
                str(laundromat.documents),
                str(laundromat.rows),
                str(laundromat.opt_outs),
                str(len(laundromat.oddities)),
                laundromat.error,
            )
    if table.row_count:
        console.print(table)
    oddities = [
        f"{laundromat.cnpj} {oddity.campaign_type} {oddity.customer_id}: {oddity.reason}"
        for laundromat in report.laundromats
        for oddity in laundromat.oddities
    ]
    list_lines(console, oddities)
    if report.unknown_documents:
        console.print(f"  {report.unknown_documents} documents of laundromats that are not active")
