"""The command that says how the hourly runs are doing, and tells whoever should know."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Annotated

import typer

from loader.cli_options import AsOfOption, JsonOption, open_session, parse_instant, show_result
from loader.errors import ServiceError
from loader.show_status import show_status
from loader.status.facts import Limits
from loader.status.receivers import URLS_VARIABLE, Receivers

__all__ = ["status_command"]

_DEFAULTS = Limits()


def status_command(
    as_of: AsOfOption = None,
    *,
    alert: Annotated[
        bool,
        typer.Option(
            "--alert",
            help=f"Tell the receivers in ${URLS_VARIABLE} what began and what is over since the "
            "last time.",
        ),
    ] = False,
    raw_max_age: Annotated[
        int, typer.Option(help="RAW data is stale when older.", min=1, metavar="HOURS")
    ] = _DEFAULTS.raw_max_age // timedelta(hours=1),
    failures: Annotated[
        int, typer.Option(help="Alert when a laundromat failed so often in a row.", min=1)
    ] = _DEFAULTS.failures,
    error_percent: Annotated[
        float,
        typer.Option(
            help="Alert when more of the served laundromats failed, and at least two.",
            min=0,
            max=100,
        ),
    ] = _DEFAULTS.error_percent,
    run_minutes: Annotated[
        float, typer.Option(help="Alert when a run took longer.", min=0)
    ] = _DEFAULTS.run_minutes,
    memory_mib: Annotated[
        float, typer.Option(help="Alert when a process of a run took more memory.", min=0)
    ] = _DEFAULTS.memory_mib,
    as_json: JsonOption = False,
) -> None:
    """Show the last runs, what fails since when, and whose RAW data is stale.

    Ends with 3 when something should be looked at. docs/alerts.md says what to do.

    Example: vmhub status --alert --raw-max-age 30
    """
    instant = parse_instant(as_of)
    receivers = Receivers(os.environ.get(URLS_VARIABLE, "")) if alert else None
    limits = Limits(
        failures=failures,
        error_percent=error_percent,
        raw_max_age=timedelta(hours=raw_max_age),
        run_minutes=run_minutes,
        memory_mib=memory_mib,
    )
    report = open_session().status(as_of=instant, limits=limits, receivers=receivers)
    show_result(report, show_status, as_json=as_json)
    if report.delivery and report.delivery.not_told:
        message = f"nobody took the news of {len(report.delivery.not_told)} alerts"
        raise ServiceError(
            message, hint=f"check {URLS_VARIABLE} and the network; the next check tries again"
        )
    if report.exit_code:
        raise typer.Exit(report.exit_code)
