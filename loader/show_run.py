"""How the result of `vmhub run` looks to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from loader.show import result_console

if TYPE_CHECKING:
    from loader.fleet.run import FleetReport

__all__ = ["show_run"]

_SHOWN = 50


def show_run(report: FleetReport) -> None:
    """Print how many laundromats came to which end, and those that somebody should look at."""
    console = result_console()
    counts = ", ".join(f"{count} {fate}" for fate, count in report.counts.items())
    part = f" of shard {report.shard}" if report.shard else ""
    console.print(
        f"{report.laundromats} laundromats{part} in {report.seconds:.0f} s: {counts or 'none'}"
    )
    if report.not_well:
        table = Table("laundromat", "", "step", "error", "reason and mend")
        for served in report.not_well[:_SHOWN]:
            table.add_row(
                served.cnpj, served.fate, served.step, served.error, escape(served.reason)
            )
        console.print(table)
    if len(report.not_well) > _SHOWN:
        console.print(f"… and {len(report.not_well) - _SHOWN} more; --json and VMHUB_OPS have all")
    if report.problem:
        console.print(report.problem, markup=False)
    if report.not_recorded:
        console.print(f"not recorded in VMHUB_OPS: {report.not_recorded}", markup=False)
