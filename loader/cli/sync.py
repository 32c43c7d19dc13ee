"""`vmhub sync`: bring Firestore in line with campaign_targets."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from loader.base.cnpj import parse_cnpj
from loader.cli.options import (
    AsOfOption,
    CnpjOption,
    JsonOption,
    open_services,
    parse_instant,
)
from loader.cli.output import (
    print_result,
    progress_bar,
    result_console,
)
from loader.sync.model import Outcome

if TYPE_CHECKING:
    from loader.sync.report import SyncReport

__all__ = ["sync_command"]


_SHOWN_PROBLEMS = 20


def sync_command(
    cnpj: CnpjOption,
    as_of: AsOfOption = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and count, write nothing.")] = (
        False
    ),
    max_age: Annotated[
        int,
        typer.Option(help="Refuse targets built longer ago than this.", min=1, metavar="MINUTES"),
    ] = 120,
    max_withdraw_percent: Annotated[
        int,
        typer.Option(
            help="Stop when a larger share of pending documents would be withdrawn.", min=0, max=100
        ),
    ] = 50,
    campaign: Annotated[
        list[str] | None,
        typer.Option(help="Only this campaign; can be repeated. Default: all.", metavar="TYPE"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Write at most this many rows; withdrawals are not limited.", min=1),
    ] = None,
    max_ops: Annotated[
        int | None,
        typer.Option(
            help="Writes per second, 0 for no limit; default: Firestore's ramp, which begins with "
            "500 per second and grows by half every 5 minutes; no limit on an emulator.",
            min=0,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring Firestore in line with a laundromat's campaign_targets.

    Example: vmhub sync --cnpj 12ABC34501DE35 --campaign BIRTHDAY --limit 10 --dry-run
    """
    parsed, instant = parse_cnpj(cnpj), parse_instant(as_of)
    from loader.sync.run import SyncOptions  # noqa: PLC0415

    options = SyncOptions(
        is_dry_run=dry_run,
        max_age=timedelta(minutes=max_age),
        max_withdraw_percent=max_withdraw_percent,
        campaigns=frozenset(campaign or ()),
        limit=limit,
    )
    services = open_services()
    with progress_bar(f"syncing {parsed}") as on_progress:
        report = services.sync(
            services.laundromat(parsed),
            as_of=instant,
            options=options,
            max_ops=max_ops,
            on_progress=on_progress,
        )
    print_result(report, show_sync, as_json=as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def show_sync(report: SyncReport) -> None:
    """Print a row per campaign with a column per outcome; below it the rows to look at."""
    console = result_console()
    outcomes = [outcome for outcome in Outcome if report.total(outcome)]
    title = f"{report.cnpj} synced as of {report.as_of:%Y-%m-%d %H:%M:%SZ}"
    table = Table(title=f"{title} (dry run)" if report.is_dry_run else title)
    table.add_column("campaign")
    for heading in ("rows", *outcomes):
        table.add_column(heading, justify="right")
    for campaign in report.campaigns:
        table.add_row(
            campaign.campaign_type,
            str(campaign.rows_read),
            *(str(campaign.outcomes.get(outcome, 0)) for outcome in outcomes),
        )
    console.print(table)
    for problem in report.problems[:_SHOWN_PROBLEMS]:
        console.print(
            f"  {problem.outcome}: {problem.campaign_type} {problem.customer_id}: {problem.reason}",
            markup=False,
        )
    more = report.problem_count - len(report.problems[:_SHOWN_PROBLEMS])
    if more:
        where = "" if report.is_dry_run else "; all are in VMHUB_OPS.sync_rejects"
        console.print(f"  and {more} more{where}")
    if report.untracked:
        console.print(
            f"  {report.untracked} rows wait until `vmhub track` has recorded an older message"
        )
    if report.stopped is not None:
        console.print(
            f"stopped: {report.stopped.reason}; the next run takes up the rows deferred here",
            markup=False,
        )
