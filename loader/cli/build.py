"""`vmhub build`: decide who is targeted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from loader.base.cnpj import parse_cnpj
from loader.cli.failures import build_errors_in_full
from loader.cli.options import (
    AsOfOption,
    CnpjOption,
    JsonOption,
    open_services,
    parse_instant,
)
from loader.cli.output import (
    print_result,
    result_console,
)

if TYPE_CHECKING:
    from loader.dbt.build import BuildReport

__all__ = ["build_command"]


def build_command(
    context: typer.Context,
    cnpj: CnpjOption,
    as_of: AsOfOption = None,
    selector: Annotated[
        str | None,
        typer.Option(help="A selector of selectors.yml, such as hourly; default: everything."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Build a laundromat's campaign tables with dbt.

    Example: vmhub build --cnpj 12ABC34501DE35 --selector hourly
    """
    parsed, instant = parse_cnpj(cnpj), parse_instant(as_of)
    arguments = ["--selector", selector] if selector else []
    services = open_services()
    with build_errors_in_full(context.obj):
        report = services.build(services.laundromat(parsed), as_of=instant, arguments=arguments)
    print_result(report, show_build, as_json=as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def show_build(report: BuildReport) -> None:
    """Print what `vmhub build` did."""
    console = result_console()
    counts = ", ".join(f"{count} {status}" for status, count in sorted(report.nodes.items()))
    console.print(f"{report.cnpj} built as of {report.as_of:%Y-%m-%d %H:%M:%SZ}: {counts}")
    for warning in report.warnings:
        console.print(f"  warning: {warning.name}: {warning.message}")
