"""The commands of those who run it: settings, check."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from loader.cli_options import (
    AsOfOption,
    CnpjOption,
    JsonOption,
    open_session,
    parse_instant,
    show_result,
)
from loader.cnpj import parse_cnpj
from loader.show_operations import show_check, show_settings

__all__ = ["check_command", "settings_command"]


def settings_command(cnpj: CnpjOption, *, as_json: JsonOption = False) -> None:
    """List a laundromat's settings, each with its value and where that came from.

    Example: vmhub settings --cnpj 12ABC34501DE35
    """
    parsed = parse_cnpj(cnpj)
    show_result(open_session().settings(parsed), show_settings, as_json=as_json)


def check_command(
    cnpj: CnpjOption,
    raw_max_age: Annotated[
        int,
        typer.Option(help="Warn when the newest sale is more hours old.", min=1, metavar="HOURS"),
    ] = 26,
    as_of: AsOfOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check whether a laundromat can be served; one line each: ok, or what to do.

    Tries permissions for real, and leaves nothing behind. docs/check.md says what each line means.

    Example: vmhub check --cnpj 12ABC34501DE35 --raw-max-age 50
    """
    parsed, instant = parse_cnpj(cnpj), parse_instant(as_of)
    report = open_session().check(parsed, as_of=instant, raw_max_age=timedelta(hours=raw_max_age))
    show_result(report, show_check, as_json=as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)
