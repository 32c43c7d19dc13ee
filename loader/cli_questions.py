"""The commands that answer questions and send nothing: explain, preview, report."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer looks at it while the program runs
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import yaml

from loader.cli_options import (
    AsOfOption,
    CnpjOption,
    JsonOption,
    open_session,
    parse_instant,
    show_result,
)
from loader.cnpj import parse_cnpj
from loader.errors import ConfigurationError
from loader.show import show_explanation, show_json, show_owner_report, show_preview

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["explain_command", "preview_command", "report_command"]


def explain_command(
    cnpj: CnpjOption,
    customer: Annotated[str, typer.Option(help="The customer's id, as in clientes.id.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Say why a customer did or did not get each campaign's message, as of the last build.

    Example: vmhub explain --cnpj 12ABC34501DE35 --customer 1004
    """
    parsed = parse_cnpj(cnpj)
    show_result(open_session().explain(parsed, customer), show_explanation, as_json=as_json)


def preview_command(
    cnpj: CnpjOption,
    as_of: AsOfOption = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting to try, such as loyalty_min_visits=8.", metavar="NAME=VALUE"
        ),
    ] = None,
    compare_to: Annotated[
        str | None,
        typer.Option(
            help="live: the tables as last built; or an instant, with the settings as they are; "
            "default with --set: the same instant without it.",
            metavar="live|T",
        ),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show who would be targeted at another instant or with other settings. Sends nothing.

    Builds into {CNPJ}_PREVIEW only.

    Example: vmhub preview --cnpj 12ABC34501DE35 --set loyalty_min_visits=8
    """
    parsed, instant = parse_cnpj(cnpj), parse_instant(as_of)
    report = open_session().preview(
        parsed,
        as_of=instant,
        changes=dict(_change(text) for text in changes or ()),
        compare_to=_baseline(compare_to),
    )
    show_result(report, show_preview, as_json=as_json)


def report_command(
    cnpj: CnpjOption,
    out: Annotated[Path, typer.Option(help="The page to write, such as report.html.")],
    days: Annotated[
        int, typer.Option(help="How many days it is about, up to that of --as-of.", min=1, max=366)
    ] = 30,
    as_of: AsOfOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Write a page for a laundromat's owner: what became of the messages, in Portuguese.

    Needs the tables of `vmhub build --selector daily`. Names no customer.

    Example: vmhub report --cnpj 12ABC34501DE35 --days 30 --out report.html
    """
    parsed, instant = parse_cnpj(cnpj), parse_instant(as_of)
    figures = open_session().owner_figures(parsed, as_of=instant, days=days)
    # Imported here: matplotlib takes a second, and nothing else needs it.
    from loader.owner_report.output import write_page  # noqa: PLC0415
    from loader.owner_report.page import render  # noqa: PLC0415

    size = write_page(out, render(figures))
    if as_json:
        show_json(figures)
    else:
        show_owner_report(figures, out, size)


def _baseline(text: str | None) -> datetime | Literal["live"] | None:
    if text is None:
        return None
    return "live" if text == "live" else parse_instant(text)


def _change(text: str) -> tuple[str, Any]:
    """Return the name and value of a setting, the value read as YAML.

    Raises:
        ConfigurationError: There is no name, or no value that YAML takes.

    """
    name, separator, value = text.partition("=")
    try:
        if name and separator:
            return name, yaml.safe_load(value)
    except yaml.YAMLError:
        pass
    message = f"--set {text} is not NAME=VALUE"
    raise ConfigurationError(
        message, hint="write it as loyalty_min_visits=8 or 'reactivation_stage_days=[20, 40]'"
    )
