"""How `vmhub status` looks to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from loader.show import result_console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from rich.console import Console

    from loader.status.facts import FleetRun, Laundromat, RawTable
    from loader.status.run import StatusReport

__all__ = ["show_status"]

# Longer lists are for --json.
_LISTED = 50


def show_status(report: StatusReport) -> None:
    """Print the last run of each shard, then what should be looked at, then what took most."""
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
        ("it is not known how old RAW data is", report.unknown_raw),
        ("Last run left rows to look at, VMHUB_OPS.sync_rejects", report.with_problems),
        ("In no run within 7 days", report.without_runs),
    ):
        if lines:
            console.print(f"\n{heading}: {len(lines)}")
            _list(console, lines)
    if report.slowest:
        console.print(
            _extremes("Slowest", "seconds", report.slowest, lambda item: f"{item.seconds:.1f}")
        )
        console.print(
            _extremes(
                "Heaviest", "MiB", report.heaviest, lambda item: f"{item.peak_memory_mib:.0f}"
            )
        )
    if report.alerts:
        console.print("\nAlerts; docs/alerts.md says what to do")
        _list(console, [f"{name}: {text}" for name, text in report.alerts.items()])
    else:
        console.print("\nNo alerts.")
    if report.delivery:
        told, waiting = len(report.delivery.told), len(report.delivery.not_told)
        console.print(
            f"{told} of {told + waiting} changes were told"
            if told or waiting
            else "Nothing new to tell."
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


def _failing_line(laundromat: Laundromat) -> str:
    error = laundromat.error or f"exit code {laundromat.exit_code}"
    where = f" in {laundromat.step}" if laundromat.step else ""
    earlier = "" if laundromat.succeeded_at else ", no success within 7 days"
    reason = f": {laundromat.reason}" if laundromat.reason else ""
    return (
        f"{laundromat.cnpj} {laundromat.failures}x since {_instant(laundromat.failing_since)}"
        f"{earlier}, {error}{where}{reason}"
    )


def _raw_line(table: RawTable) -> str:
    age = f"last written {_instant(table.modified_at)}" if table.modified_at else table.problem
    return f"{table.cnpj} {age}"


def _extremes(
    title: str, unit: str, ranked: Sequence[Laundromat], figure: Callable[[Laundromat], str]
) -> Table:
    table = Table(title=f"{title} last runs", title_justify="left")
    table.add_column("CNPJ")
    table.add_column(unit, justify="right")
    for laundromat in ranked:
        table.add_row(laundromat.cnpj, figure(laundromat))
    return table


def _list(console: Console, lines: Sequence[str]) -> None:
    for line in lines[:_LISTED]:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if len(lines) > _LISTED:
        console.print(f"  … and {len(lines) - _LISTED} more; --json lists all")


def _instant(instant: datetime | None) -> str:
    return "-" if instant is None else f"{instant:%Y-%m-%d %H:%MZ}"
