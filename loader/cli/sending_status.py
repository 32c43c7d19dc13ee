"""The part of `vmhub status` about the senders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from loader.base.clock import minute_text
from loader.cli.output import list_lines, result_console

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from loader.operations.status.sending import SendStatus

__all__ = ["show_sending"]

_FEWEST_PEOPLE_LEFT = 50
_LEAST_BRL_LEFT = 20.0


def show_sending(sending: SendStatus | None, as_of: datetime) -> None:
    """Print what was sent within a day, what waits, and what holds messages back."""
    console = result_console()
    if sending is None:
        console.print("\nNo `vmhub send` has written a record within a day.")
        return
    table = Table(title="Sending, 24 hours", title_justify="left", show_header=False)
    table.add_column()
    table.add_column()
    for name, value in _figures(sending, as_of):
        table.add_row(name, value)
    console.print(table)
    lines = [
        f"{pause.kind} {pause.key} until {minute_text(pause.until)}: {pause.reason}"
        for pause in sending.pauses
    ]
    lines += [f"portfolio {key}: {left} people left today" for key, left in _few_people(sending)]
    lines += [
        f"{cnpj}: R$ {left:.2f} left of the month's budget"
        for cnpj, left in sorted(sending.money_left.items())
        if left < _LEAST_BRL_LEFT
    ]
    if lines:
        console.print(f"\nHolds messages back: {len(lines)}")
        list_lines(console, lines)


def _figures(sending: SendStatus, as_of: datetime) -> Iterator[tuple[str, str]]:
    yield "sent", str(sending.sent)
    yield "failed", _counts(sending.failed)
    yield "unknown outcome", f"{sending.unknown}, of which {sending.open_attempts} are open"
    yield "waiting", _counts(sending.waiting)
    oldest = sending.oldest_waiting_at
    minutes = (as_of - oldest).total_seconds() / 60 if oldest else 0.0
    yield "oldest waiting", f"{minutes:.0f} minutes" if oldest else "-"
    yield "not sent, a service failed", str(sending.errors)
    yield "last record", f"{minute_text(sending.recorded_at)}, {sending.senders} at work"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "-"


def _few_people(sending: SendStatus) -> list[tuple[str, int]]:
    return [
        (key, left)
        for key, left in sorted(sending.people_left.items())
        if left is not None and left < _FEWEST_PEOPLE_LEFT
    ]
