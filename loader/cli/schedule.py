"""`vmhub schedule`: the hourly run on this machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from loader.base.environment import ALERT_URLS_VARIABLE, Environment
from loader.base.errors import ConfigurationError
from loader.dbt.project import find_project
from loader.fleet.schedule import Schedule, alert_child, hourly, run_child

__all__ = ["schedule_command"]


def schedule_command(
    context: typer.Context,
    *,
    minute: Annotated[
        int, typer.Option(help="Minute of each hour at which a run begins.", min=0, max=59)
    ] = 5,
    jobs: Annotated[
        int | None,
        typer.Option(help="Laundromats served in parallel; default: as in `vmhub run`.", min=1),
    ] = None,
    time_limit: Annotated[
        int | None,
        typer.Option(
            help="Stop serving a laundromat after this time; default: as in `vmhub run`.",
            min=1,
            metavar="SECONDS",
        ),
    ] = None,
    alert: Annotated[
        bool | None,
        typer.Option(
            "--alert/--no-alert",
            help="Send alerts after each run; default: when VMHUB_ALERT_URLS is set.",
        ),
    ] = None,
) -> None:
    """Run all laundromats every hour on this machine, until SIGINT or SIGTERM.

    Each run is a process of its own; one that fails is logged and does not end the schedule. One
    run makes up for all hours that were missed. A running run gets the signal, too: it finishes and
    records what it has begun. The exit code is then 130 or 143.

    Example: vmhub schedule --minute 5 --jobs 4
    """
    # Checked here, so that a machine that is not set up says so now and not every hour.
    find_project()
    Environment.from_variables()
    has_urls = bool(os.environ.get(ALERT_URLS_VARIABLE))
    if alert and not has_urls:
        message = f"{ALERT_URLS_VARIABLE} is not set, so nobody would get an alert"
        raise ConfigurationError(message, hint="set it as docs/alerts.md says, or drop --alert")
    commands = [run_child(context.obj, jobs=jobs, time_limit=time_limit)]
    if has_urls and alert is not False:
        commands.append(alert_child(context.obj))
    raise typer.Exit(Schedule(commands, hourly(minute)).run())
