"""`vmhub run`: the hourly cycle."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from loader.cli_options import (
    AsOfOption,
    JsonOption,
    named_laundromats,
    open_session,
    parse_instant,
    show_result,
)
from loader.show import progress_bar
from loader.show_run import show_run

__all__ = ["run_command"]


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
            help="Serve one part of the fleet: 0/3 is the first of three. Default: what Cloud Run "
            "jobs or Kubernetes say, else all.",
            metavar="I/N",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Laundromats served at a time.", min=1, max=64)] = 2,
    time_limit: Annotated[
        int, typer.Option(help="End a laundromat that takes longer.", min=1, metavar="SECONDS")
    ] = 600,
    lease: Annotated[
        int,
        typer.Option(
            help="How long a laundromat stays taken after the process that served it was killed.",
            min=5,
            metavar="SECONDS",
        ),
    ] = 120,
    is_all: Annotated[bool, typer.Option("--all", help="All active laundromats.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Serve laundromats as every hour does: track, build, sync, once a day figures; and record it.

    Each apart from the others: one that fails or hangs is reported, and the next run tries again.

    Example: vmhub run --all --jobs 4
    """
    named = named_laundromats(cnpj, is_all=is_all)
    instant = parse_instant(as_of) if as_of else None
    from loader.fleet.run import FleetOptions, run_fleet  # noqa: PLC0415
    from loader.fleet.shards import Shard  # noqa: PLC0415

    options = FleetOptions(
        shard=Shard.parse(shard) if shard else Shard.from_variables(os.environ),
        jobs=jobs,
        limit_seconds=time_limit,
        lease_seconds=lease,
        as_of=instant,
        log_format=context.obj,
    )
    with progress_bar("serving") as on_progress:
        report = run_fleet(open_session(), named, options, on_progress=on_progress)
    show_result(report, show_run, as_json=as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)
