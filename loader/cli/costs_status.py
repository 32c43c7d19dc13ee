"""`vmhub status --costs`: how a month's costs look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from loader.base.clock import minute_text
from loader.cli.output import list_lines, result_console

if TYPE_CHECKING:
    from loader.operations.status.costs import CostReport, MessageCounts, Usage

__all__ = ["show_costs"]

_GIB = 2**30


def show_costs(report: CostReport) -> None:
    """Print a row per laundromat, a row for each thing they share, and the sum."""
    console = result_console()
    console.print(f"{report.month}, until {minute_text(report.until)}")
    table = Table(title="Costs by laundromat", title_justify="left")
    table.add_column("CNPJ")
    for heading in ("GiB", "queries", "reads", "writes", "sent", "charged", "unpriced", "R$"):
        table.add_column(heading, justify="right")
    for laundromat in report.laundromats:
        messages = _messages(laundromat.messages)
        table.add_row(laundromat.cnpj, *_usage(laundromat.usage), *messages)
    table.add_section()
    for shared in report.shared:
        table.add_row(f"shared: {shared.name}", *_usage(shared.usage), "", "", "", "")
    table.add_section()
    table.add_row("sum", *_usage(report.total), *_messages(report.messages))
    console.print(table)
    if report.not_readable:
        console.print(f"\nMessages cannot be read: {len(report.not_readable)}")
        list_lines(console, report.not_readable)
    console.print("docs/operations.md says what these figures cannot see.")


def _usage(usage: Usage) -> tuple[str, ...]:
    return (
        f"{usage.bytes_billed / _GIB:.2f}",
        str(usage.queries),
        str(usage.documents_read),
        str(usage.writes_sent),
    )


def _messages(messages: MessageCounts | None) -> tuple[str, ...]:
    if messages is None:
        return ("-",) * 4
    return (
        str(messages.sent),
        str(messages.billed),
        str(messages.unpriced),
        f"{messages.cost_brl:.2f}",
    )
