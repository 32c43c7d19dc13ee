"""The messages of a period over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.report.charts import Bar, Line, bars, lines
from console.report.parts import Chart, Table
from console.report.words import day, day_and_month, month, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from console.report.figures import Day, OwnerFigures

__all__ = ["timeline"]

# Longer periods are drawn in weeks: lines of a hundred days cannot be read on a phone.
_MOST_DAYS_DRAWN = 92
_WEEK = 7
_TICKS = 4


def timeline(figures: OwnerFigures) -> Chart:
    """Return the messages by day, or by week when the days are many."""
    spans = _spans(figures.days)
    is_by_day = len(spans) == len(figures.days)
    counts = [_day_sums(span) for span in spans]
    sums = _day_sums(figures.days)
    table = Table(
        "por-dia",
        ("Dia" if is_by_day else "Semana", "Enviadas", "Entregues", "Lidas"),
        tuple(
            (_span_name(span), *map(number, values))
            for span, values in zip(spans, counts, strict=True)
        ),
        ("Total", *map(number, sums)),
    )
    title = "Mensagens por dia" if is_by_day else "Mensagens por semana"
    labels = ("enviadas", "entregues", "lidas (ao menos)")
    if len(spans) == 1:
        content = [
            Bar(label.capitalize(), value, number(value), series)
            for series, (label, value) in enumerate(zip(labels, sums, strict=True))
        ]
        return Chart(bars(title, content), table)
    drawn = [
        Line(label, values) for label, values in zip(labels, zip(*counts, strict=True), strict=True)
    ]
    busiest = max(spans, key=lambda span: _day_sums(span)[0])
    description = (
        f"De {day(figures.period.first_on)} a {day(figures.period.last_on)}. "
        f"Mais enviadas: {number(_day_sums(busiest)[0])}, em {_span_name(busiest)}."
    )
    tick_name = day_and_month if is_by_day else month
    ticks = [(position, tick_name(spans[position][0].on)) for position in _positions(len(spans))]
    return Chart(lines(title, drawn, ticks, description=description), table)


def _spans(days: Sequence[Day]) -> list[Sequence[Day]]:
    """Return single days, or for many days spans of 6 to 8 days."""
    count = len(days) if len(days) <= _MOST_DAYS_DRAWN else round(len(days) / _WEEK)
    edges = [number * len(days) // count for number in range(count + 1)]
    return [days[edges[number] : edges[number + 1]] for number in range(count)]


def _span_name(span: Sequence[Day]) -> str:
    first, last = span[0].on, span[-1].on
    return day(first) if first == last else f"{day_and_month(first)} a {day(last)}"


def _day_sums(days: Sequence[Day]) -> tuple[int, int, int]:
    return (
        sum(item.sent for item in days),
        sum(item.delivered for item in days),
        sum(item.read for item in days),
    )


def _positions(count: int) -> list[int]:
    """Return the positions of the time axis's ticks: both ends, and evenly between them."""
    marks = min(count, _TICKS)
    return [number * (count - 1) // (marks - 1) for number in range(marks)]
