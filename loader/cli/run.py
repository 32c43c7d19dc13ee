"""`vmhub run`: the hourly cycle."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from loader.cli.options import (
    AsOfOption,
    JsonOption,
    named_laundromats,
    open_services,
    parse_instant,
)
from loader.cli.output import print_result, progress_bar, result_console

if TYPE_CHECKING:
    from loader.fleet.run import FleetReport

__all__ = ["run_command"]

_SHOWN = 50


def run_command(
    context: typer.Context,
    cnpj: Annotated[
        list[str] | None,
        typer.Option("--cnpj", help="A laundromat; can be repeated."),
    ] = None,
    *,
    as_of: AsOfOption = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="Serve one part of the fleet: 0/3 is the first of three. Default: the part that "
            "Cloud Run or Kubernetes assigns to this process, else all.",
            metavar="I/N",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Laundromats served in parallel.", min=1, max=64)] = 2,
    time_limit: Annotated[
        int,
        typer.Option(help="Stop serving a laundromat after this time.", min=1, metavar="SECONDS"),
    ] = 600,
    lease: Annotated[
        int,
        typer.Option(
            help="How long a laundromat stays locked after the process that served it was killed.",
            min=5,
            max=24 * 60 * 60,
            metavar="SECONDS",
        ),
    ] = 120,
    is_all: Annotated[bool, typer.Option("--all", help="All active laundromats.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the hourly cycle: track, build, sync, once a day the figures; and record it.

    A laundromat that fails or hangs does not affect the others; the next run tries it again.

    Example: vmhub run --all --jobs 4
    """
    named = named_laundromats(cnpj, is_all=is_all)
    instant = parse_instant(as_of) if as_of else None
    from loader.base.shards import Shard  # noqa: PLC0415
    from loader.fleet.run import FleetOptions, run_fleet  # noqa: PLC0415

    options = FleetOptions(
        shard=Shard.parse(shard) if shard else Shard.from_variables(os.environ),
        jobs=jobs,
        limit_seconds=time_limit,
        lease_seconds=lease,
        as_of=instant,
        log_format=context.obj,
    )
    with progress_bar("serving") as on_progress:
        report = run_fleet(open_services(), named, options, on_progress=on_progress)
    print_result(report, show_run, as_json=as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def show_run(report: FleetReport) -> None:
    """Print the number of laundromats by outcome, and those that somebody should look at."""
    console = result_console()
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.counts.items())
    part = f" of shard {report.shard}" if report.shard else ""
    console.print(
        f"{report.laundromats} laundromats{part} in {report.seconds:.0f} s: {counts or 'none'}"
    )
    if report.not_well:
        table = Table("laundromat", "", "step", "error", "reason and fix")
        for served in report.not_well[:_SHOWN]:
            table.add_row(
                served.cnpj, served.outcome, served.step, served.error, escape(served.reason)
            )
        console.print(table)
    if len(report.not_well) > _SHOWN:
        console.print(f"… and {len(report.not_well) - _SHOWN} more; --json and VMHUB_OPS have all")
    if report.problem:
        console.print(report.problem, markup=False)
    if report.not_recorded:
        console.print(f"not recorded in VMHUB_OPS: {report.not_recorded}", markup=False)
