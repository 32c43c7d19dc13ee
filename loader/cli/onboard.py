"""`vmhub onboard`: create a laundromat's tables and register it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from loader.base.cnpj import parse_cnpj
from loader.cli.options import (
    CnpjOption,
    JsonOption,
    open_services,
)
from loader.cli.output import (
    print_result,
    result_console,
)

if TYPE_CHECKING:
    from loader.operations.onboard import OnboardReport

__all__ = ["onboard_command"]


def onboard_command(
    cnpj: CnpjOption,
    name: Annotated[str, typer.Option(help="The laundromat's name.")],
    timezone: Annotated[
        str | None, typer.Option(help="IANA time zone; default: America/Sao_Paulo.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Create a laundromat's campaign tables and register it. Safe to repeat.

    Example: vmhub onboard --cnpj 12.ABC.345/01DE-35 --name "Lava Bem" --timezone America/Manaus
    """
    parsed = parse_cnpj(cnpj)
    # Imported here, as in every command: help and usage errors do not need it.
    from loader.operations.onboard import onboard  # noqa: PLC0415

    services = open_services()
    report = onboard(
        services.project,
        services.warehouse,
        services.registry,
        cnpj=parsed,
        name=name,
        timezone=timezone,
        audit=services.new_audit_log("vmhub onboard"),
    )
    print_result(report, show_onboard, as_json=as_json)


def show_onboard(report: OnboardReport) -> None:
    """Print what `vmhub onboard` did."""
    console = result_console()
    console.print(f"{report.cnpj} is {'registered' if report.is_new else 'registered already'}")
    for table in report.created_tables:
        console.print(f"  created {table}")
    for problem in report.raw_problems:
        console.print(f"  still missing before the first build: {problem}")
