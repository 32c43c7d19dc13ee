"""`vmhub report`: the page for a laundromat's owner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loader.base.cnpj import parse_cnpj
from loader.cli.options import (
    AsOfOption,
    CnpjOption,
    JsonOption,
    open_services,
    parse_instant,
)
from loader.cli.output import (
    print_json,
    result_console,
)

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from console.report.figures import OwnerFigures
    from loader.base.cnpj import Cnpj
    from loader.services import Services

__all__ = ["figures_of_laundromat", "report_command"]


def report_command(
    cnpj: CnpjOption,
    out: Annotated[Path, typer.Option(help="The page to write, such as report.html.")],
    days: Annotated[
        int,
        typer.Option(
            help="Number of days in the report; the last is that of --as-of.", min=1, max=366
        ),
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
    figures = figures_of_laundromat(open_services(), parsed, as_of=instant, days=days)
    # Imported here: matplotlib takes a second to import, and only this command needs it.
    from console.report.page import render  # noqa: PLC0415
    from console.report.page_file import write_page  # noqa: PLC0415

    size = write_page(out, render(figures))
    if as_json:
        print_json(figures)
    else:
        show_owner_report(figures, out, size)


def figures_of_laundromat(
    services: Services, cnpj: Cnpj, *, as_of: datetime, days: int
) -> OwnerFigures:
    """Return the figures for a registered laundromat's owner; see docs/report.md.

    Args:
        services: The connections.
        cnpj: The laundromat.
        as_of: The period ends on the laundromat's local day at this instant.
        days: Length of the period in days.

    """
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    from console.report.figures import Period, ReportedLaundromat, figures_of  # noqa: PLC0415
    from console.report.owner_rows import read_rows  # noqa: PLC0415
    from loader.questions.decisions import last_build  # noqa: PLC0415

    laundromat = services.laundromat(cnpj)
    warehouse = services.warehouse.acting_for(cnpj)
    timezone = ZoneInfo(laundromat.settings["timezone"])
    reported = ReportedLaundromat(
        cnpj,
        laundromat.entry.name,
        last_build(warehouse, cnpj).astimezone(timezone),
        laundromat.settings["conversion_days"],
        names=frozenset(
            {
                *services.project.campaign_types(),
                *services.project.text_variants(),
                *laundromat.settings["loyalty_tiers"],
            }
        ),
    )
    period = Period.ending(as_of.astimezone(timezone).date(), days)
    return figures_of(reported, period, read_rows(warehouse, cnpj, period))


def show_owner_report(figures: OwnerFigures, path: Path, size: int) -> None:
    """Print the path of the owner's page and its main figures."""
    totals = figures.totals
    period = f"{figures.period.first_on} to {figures.period.last_on}"
    result_console().print(
        f"{figures.laundromat.cnpj}, {period}: {totals.sent} sent, {totals.delivered} delivered, "
        f"{totals.failed} failed, {totals.purchases} purchases; "
        f"{path}, {-(-size // 1024)} KiB",
        markup=False,
        soft_wrap=True,
    )
