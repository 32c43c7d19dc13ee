"""What processes did in a period, from rows that count everything since a process's start; pure.

A sender and a webhook write such a row every ten minutes. The events of a period are the
difference between two rows of one process.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["DAY", "HOUR", "ROWS_LOOK_BACK", "CountingRow", "counts_within", "is_replaced", "lives"]

ROWS_LOOK_BACK = timedelta(hours=26)
"""Older rows are not read: a day, and some time for a late row."""
DAY, HOUR = timedelta(hours=24), timedelta(hours=1)


class CountingRow(Protocol):
    """A row of one process."""

    @property
    def run_id(self) -> str:
        """Identifies the process."""

    @property
    def started_at(self) -> datetime:
        """When the process started, and its counts began."""

    @property
    def recorded_at(self) -> datetime:
        """When the row was written."""


RowT = TypeVar("RowT", bound=CountingRow)


def lives(rows: Iterable[RowT], as_of: datetime) -> list[list[RowT]]:
    """Return the rows of each process up to an instant, in order."""
    known = (row for row in rows if row.recorded_at <= as_of)
    ordered = sorted(known, key=lambda row: (row.run_id, row.recorded_at))
    return [list(group) for _, group in groupby(ordered, key=lambda row: row.run_id)]


def is_replaced(last: RowT, lives: Iterable[Sequence[RowT]]) -> bool:
    """Return whether another process has started since the last row of this one."""
    return any(
        life[0].started_at >= last.recorded_at for life in lives if life[0].run_id != last.run_id
    )


def counts_within(
    length: timedelta,
    lives: Iterable[Sequence[RowT]],
    counts: Callable[[RowT], Counter[str]],
    as_of: datetime,
) -> Counter[str]:
    """Return what all processes did in a period, as exactly as their rows show.

    Args:
        length: How long the period is; it ends at ``as_of``.
        lives: The rows of each process, in order.
        counts: Returns the counts of a row.
        as_of: The instant; rows older than ROWS_LOOK_BACK were not read.

    """
    done: Counter[str] = Counter()
    for life in lives:
        done.update(counts(life[-1]))
        earlier = [row for row in life if row.recorded_at <= as_of - length]
        if earlier:
            done.subtract(counts(earlier[-1]))
        elif life[0].started_at < as_of - ROWS_LOOK_BACK:
            # Its earlier rows are not read; the events they count are older.
            done.subtract(counts(life[0]))
    return done
