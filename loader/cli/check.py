"""`vmhub check`: whether a laundromat can be served."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from loader.base.cnpj import parse_cnpj
from loader.cli.options import (
    AsOfOption,
    CnpjOption,
    JsonOption,
    open_services,
    parse_instant,
)
from loader.cli.output import (
    line_console,
    print_result,
)

if TYPE_CHECKING:
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.operations.check.checklist import CheckReport
    from loader.services import Services

__all__ = ["check_command", "check_laundromat", "show_check"]


_STYLES = {
    "ok": "green",
    "warning": "yellow",
    "fix": "bold red",
    "failed": "bold red",
    "skipped": "dim",
}


def check_command(
    cnpj: CnpjOption,
    raw_max_age: Annotated[
        int,
        typer.Option(help="Warn when the newest sale is older than this.", min=1, metavar="HOURS"),
    ] = 26,
    as_of: AsOfOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check whether a laundromat can be served; one line each: ok, or what to do.

    Tries out every permission, and leaves nothing behind. docs/check.md explains each line.

    Example: vmhub check --cnpj 12ABC34501DE35 --raw-max-age 50
    """
    parsed, instant = parse_cnpj(cnpj), parse_instant(as_of)
    report = check_laundromat(
        open_services(), parsed, as_of=instant, raw_max_age=timedelta(hours=raw_max_age)
    )
    print_result(report, show_check, as_json=as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def check_laundromat(
    services: Services, cnpj: Cnpj, *, as_of: datetime, raw_max_age: timedelta
) -> CheckReport:
    """Check whether a laundromat can be served; see `loader.operations.check.all_checks`."""
    from loader.bigquery.warehouse_probe import WarehouseProbe  # noqa: PLC0415
    from loader.operations.check.all_checks import check  # noqa: PLC0415
    from whatsapp.compare import compare_for  # noqa: PLC0415
    from whatsapp.process import Seeds  # noqa: PLC0415

    seeds = Seeds(services.project.root / "seeds")

    return check(
        services.project,
        WarehouseProbe(services.environment),
        services.database,
        services.registry,
        services.dbt,
        cnpj=cnpj,
        location=services.environment.location,
        as_of=as_of,
        raw_max_age=raw_max_age,
        compare_templates=lambda cnpj: compare_for(services.environment, seeds, cnpj),
    )


def show_check(report: CheckReport) -> None:
    """Print one line per check, then the number of checks in each state."""
    console = line_console()
    counts: Counter[str] = Counter()
    for check in report.checks:
        counts[check.state] += 1
        fix = f"; {check.fix}" if check.fix else ""
        console.print(
            Text(f"{check.state:<8}", style=_STYLES[check.state]),
            f"{check.name} {check.about}: {check.found}{fix}",
            markup=False,
        )
    summary = ", ".join(f"{counts[state]} {state}" for state in _STYLES if counts[state])
    console.print(f"{report.cnpj} as of {report.as_of:%Y-%m-%d %H:%M:%SZ}: {summary}")
