"""`vmhub status`: how the hourly runs are doing, and alerts when that changes."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from loader.base.clock import minute_text
from loader.base.environment import ALERT_URLS_VARIABLE
from loader.base.errors import ConfigurationError, ServiceError
from loader.cli.costs_status import show_costs
from loader.cli.options import AsOfOption, JsonOption, open_services, parse_instant
from loader.cli.output import list_lines, print_result, result_console
from loader.cli.sending_status import show_sending
from loader.cli.webhook_status import show_webhook
from loader.operations.status.costs import Month
from loader.operations.status.facts import Limits
from loader.operations.status.receivers import Receivers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from loader.operations.status.costs import CostReport
    from loader.operations.status.facts import FleetRun, LastRun, RawTable
    from loader.operations.status.overview import StatusReport
    from loader.services import Services

__all__ = ["costs_of_fleet", "show_status", "status_command", "status_of_fleet"]

_DEFAULTS = Limits()


def status_command(
    as_of: AsOfOption = None,
    *,
    alert: Annotated[
        bool,
        typer.Option(
            "--alert",
            help=f"Tell the receivers in ${ALERT_URLS_VARIABLE} which alerts began or ended since "
            "the last check.",
        ),
    ] = False,
    raw_max_age: Annotated[
        int,
        typer.Option(help="RAW data is stale when it is older than this.", min=1, metavar="HOURS"),
    ] = _DEFAULTS.raw_max_age // timedelta(hours=1),
    failures: Annotated[
        int, typer.Option(help="Alert when a laundromat failed this often in a row.", min=1)
    ] = _DEFAULTS.failures,
    error_percent: Annotated[
        float,
        typer.Option(
            help="Alert when more than this share of the served laundromats failed; at least two.",
            min=0,
            max=100,
        ),
    ] = _DEFAULTS.error_percent,
    run_minutes: Annotated[
        float, typer.Option(help="Alert when a run took longer than this.", min=0)
    ] = _DEFAULTS.run_minutes,
    memory_mib: Annotated[
        float, typer.Option(help="Alert when a process of a run used more memory than this.", min=0)
    ] = _DEFAULTS.memory_mib,
    waiting_minutes: Annotated[
        float, typer.Option(help="Alert when a target waits longer to be sent.", min=0)
    ] = _DEFAULTS.waiting_minutes,
    send_failed_percent: Annotated[
        float,
        typer.Option(
            help="Alert when more than this share of an hour's messages failed for reasons other "
            "than the customer's; at least five.",
            min=0,
            max=100,
        ),
    ] = _DEFAULTS.send_failed_percent,
    unknown_attempts: Annotated[
        int, typer.Option(help="Alert when this many attempts have an unknown outcome.", min=1)
    ] = _DEFAULTS.unknown_attempts,
    month_gib: Annotated[
        float | None,
        typer.Option(
            help="Alert when a laundromat's runs have billed more GiB this month. Without this "
            "option nobody looks, since that takes a query of the month's records.",
            min=0,
        ),
    ] = None,
    costs: Annotated[
        bool,
        typer.Option("--costs", help="Show what a month costs, by laundromat, and nothing else."),
    ] = False,
    month: Annotated[
        str | None,
        typer.Option(help="With --costs: the month.", metavar="YYYY-MM", show_default="this one"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the last runs, failing laundromats, stale RAW data, sending, and the webhook.

    Exit code 3 when somebody should look at something. docs/alerts.md says what to do.

    Example: vmhub status --alert --raw-max-age 30

    Example: vmhub status --costs --month 2026-11
    """
    instant = parse_instant(as_of)
    if costs:
        if alert or month_gib is not None:
            message = "--costs goes with neither --alert nor --month-gib"
            raise ConfigurationError(message, hint="call `vmhub status` twice")
        wanted = Month.parse(month) if month else Month.of(instant)
        report_of_month = costs_of_fleet(open_services(), wanted, as_of=instant)
        print_result(report_of_month, show_costs, as_json=as_json)
        return
    if month is not None:
        message = "--month needs --costs"
        raise ConfigurationError(message, hint="give both")
    receivers = Receivers(os.environ.get(ALERT_URLS_VARIABLE, "")) if alert else None
    limits = Limits(
        failures=failures,
        error_percent=error_percent,
        raw_max_age=timedelta(hours=raw_max_age),
        run_minutes=run_minutes,
        memory_mib=memory_mib,
        waiting_minutes=waiting_minutes,
        send_failed_percent=send_failed_percent,
        unknown_attempts=unknown_attempts,
        month_gib=month_gib,
    )
    report = status_of_fleet(open_services(), as_of=instant, limits=limits, receivers=receivers)
    print_result(report, show_status, as_json=as_json)
    if report.delivery and report.delivery.not_told:
        message = f"no receiver took {len(report.delivery.not_told)} alert changes"
        raise ServiceError(
            message, hint=f"check {ALERT_URLS_VARIABLE} and the network; the next check tries again"
        )
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def status_of_fleet(
    services: Services, *, as_of: datetime, limits: Limits, receivers: Receivers | None = None
) -> StatusReport:
    """Look at the fleet, and send receivers what has changed; see `loader.operations.status`."""
    from loader.operations.status.overview import status  # noqa: PLC0415

    return status(
        services.warehouse,
        services.registry,
        services.project.ops_tables(),
        project=services.environment.project,
        as_of=as_of,
        limits=limits,
        receivers=receivers,
    )


def costs_of_fleet(services: Services, month: Month, *, as_of: datetime) -> CostReport:
    """Return what a month cost; see `loader.operations.status.cost_queries`."""
    from loader.operations.status.cost_queries import read_costs  # noqa: PLC0415

    entries, broken, _ = services.registry.fleet()
    cnpjs = [*(entry.cnpj for entry in entries), *broken]
    return read_costs(services.warehouse, cnpjs, month, as_of=as_of)


def show_status(report: StatusReport) -> None:
    """Print the last run of each shard, then what needs a look, then the most expensive runs."""
    console = result_console()
    console.print(f"As of {report.as_of:%Y-%m-%d %H:%M:%SZ}")
    console.print(_runs_table(report.runs) if report.runs else "No `vmhub run` within 7 days.")
    console.print(
        f"{report.laundromats_failed} of {report.laundromats_served} served laundromats failed "
        f"({report.error_percent:g} %)"
    )
    for heading, lines in (
        ("Failing", [_failing_line(laundromat) for laundromat in report.failing]),
        ("RAW data is not fresh", [_raw_line(table) for table in report.stale_raw]),
        ("Age of RAW data unknown", report.unknown_raw),
        ("Last run left rows to look at, VMHUB_OPS.sync_rejects", report.with_problems),
        ("In no run within 7 days", report.without_runs),
        (
            "Opt-outs that cannot be read, `vmhub check` says what to do",
            [f"{cnpj} {count}" for cnpj, count in report.unreadable_opt_outs.items()],
        ),
    ):
        if lines:
            console.print(f"\n{heading}: {len(lines)}")
            list_lines(console, lines)
    if report.slowest:
        console.print(
            _extremes("Slowest", "seconds", report.slowest, lambda item: f"{item.seconds:.1f}")
        )
        console.print(
            _extremes(
                "Heaviest", "MiB", report.heaviest, lambda item: f"{item.peak_memory_mib:.0f}"
            )
        )
    show_sending(report.sending, report.as_of)
    show_webhook(report.webhook)
    if report.alerts:
        console.print("\nAlerts; docs/alerts.md says what to do")
        list_lines(console, [f"{name}: {text}" for name, text in report.alerts.items()])
    else:
        console.print("\nNo alerts.")
    if report.delivery:
        told, waiting = len(report.delivery.told), len(report.delivery.not_told)
        console.print(
            f"{told} of {told + waiting} changes were sent"
            if told or waiting
            else "Nothing new to send."
        )


def _runs_table(runs: Iterable[FleetRun]) -> Table:
    table = Table(title="Last runs", title_justify="left")
    for heading in ("shard", "began (UTC)", "ended"):
        table.add_column(heading)
    for heading in ("minutes", "MiB", "laundromats"):
        table.add_column(heading, justify="right")
    table.add_column("outcome")
    table.add_column("exit code", justify="right")
    for run in runs:
        table.add_row(
            str(run.shard),
            f"{run.started_at:%Y-%m-%d %H:%M}",
            f"{run.ended_at:%H:%M}",
            f"{run.seconds / 60:.1f}",
            f"{run.peak_memory_mib:.0f}",
            str(run.laundromats),
            ", ".join(f"{count} {name}" for name, count in run.counts.items()) or "-",
            str(run.exit_code),
        )
    return table


def _failing_line(laundromat: LastRun) -> str:
    error = laundromat.error or f"exit code {laundromat.exit_code}"
    where = f" in {laundromat.step}" if laundromat.step else ""
    earlier = "" if laundromat.succeeded_at else ", no success within 7 days"
    reason = f": {laundromat.reason}" if laundromat.reason else ""
    return (
        f"{laundromat.cnpj} {laundromat.failures}x since {minute_text(laundromat.failing_since)}"
        f"{earlier}, {error}{where}{reason}"
    )


def _raw_line(table: RawTable) -> str:
    age = f"last written {minute_text(table.modified_at)}" if table.modified_at else table.problem
    return f"{table.cnpj} {age}"


def _extremes(
    title: str, unit: str, ranked: Sequence[LastRun], figure: Callable[[LastRun], str]
) -> Table:
    table = Table(title=f"{title} last runs", title_justify="left")
    table.add_column("CNPJ")
    table.add_column(unit, justify="right")
    for laundromat in ranked:
        table.add_row(laundromat.cnpj, figure(laundromat))
    return table
