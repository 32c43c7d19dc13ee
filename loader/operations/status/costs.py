"""What a month costs, by laundromat, from what the runs recorded; pure.

docs/operations.md says what these figures cannot see.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "COLUMNS_OF_MESSAGES",
    "CostReport",
    "LaundromatCost",
    "MessageCounts",
    "Month",
    "SharedCost",
    "Usage",
    "cost_report",
    "messages_of",
]

COLUMNS_OF_MESSAGES = ("business_date", "sent", "delivered", "billed", "unpriced", "cost_brl")
"""Columns of campaign_performance, one row per campaign, text and day."""

_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Month:
    """A month, such as 2026-11."""

    first_day: date

    @classmethod
    def parse(cls, text: str) -> Month:
        """Return the month of a text such as 2026-11.

        Raises:
            ConfigurationError: The text is no month.

        """
        try:
            return cls(datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date())
        except ValueError as error:
            message = f"{text!r} is no month"
            raise ConfigurationError(message, hint="write it as 2026-11") from error

    @classmethod
    def of(cls, instant: datetime) -> Month:
        """Return the month of an instant, in UTC."""
        return cls(instant.astimezone(UTC).date().replace(day=1))

    @property
    def begins_at(self) -> datetime:
        """Its first instant in UTC."""
        return datetime(self.first_day.year, self.first_day.month, 1, tzinfo=UTC)

    @property
    def ends_at(self) -> datetime:
        """The first instant after it, in UTC."""
        return (
            self.begins_at.replace(year=self.first_day.year + 1, month=1)
            if self.first_day.month == 12  # noqa: PLR2004 - December
            else self.begins_at.replace(month=self.first_day.month + 1)
        )

    @property
    def last_instant(self) -> datetime:
        """Its last instant in UTC, to the microsecond."""
        return self.ends_at - timedelta(microseconds=1)

    def has(self, day: date) -> bool:
        """Return whether a day is in it."""
        return (day.year, day.month) == (self.first_day.year, self.first_day.month)

    def __str__(self) -> str:
        """Return it as 2026-11."""
        return f"{self.first_day:%Y-%m}"


@dataclass(frozen=True)
class Usage:
    """What BigQuery and Firestore did for somebody."""

    queries: int = 0
    bytes_billed: int = 0
    documents_read: int = 0
    writes_sent: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Return both together."""
        return Usage(
            self.queries + other.queries,
            self.bytes_billed + other.bytes_billed,
            self.documents_read + other.documents_read,
            self.writes_sent + other.writes_sent,
        )


@dataclass(frozen=True)
class MessageCounts:
    """A month's messages, by the business day on which they were sent."""

    sent: int = 0
    delivered: int = 0
    billed: int = 0
    """Messages that WhatsApp charges."""
    unpriced: int = 0
    """Messages that arrived and whose price is unknown; not in cost_brl."""
    cost_brl: Decimal = Decimal(0)

    def __add__(self, other: MessageCounts) -> MessageCounts:
        """Return both together."""
        return MessageCounts(
            self.sent + other.sent,
            self.delivered + other.delivered,
            self.billed + other.billed,
            self.unpriced + other.unpriced,
            self.cost_brl + other.cost_brl,
        )


@dataclass(frozen=True)
class LaundromatCost:
    """A laundromat's month."""

    cnpj: str
    usage: Usage
    messages: MessageCounts | None
    """None: its figures were never built, or cannot be read."""


@dataclass(frozen=True)
class SharedCost:
    """What serves all laundromats, and belongs to none of them."""

    name: str
    """run, status, sender or webhook."""
    usage: Usage


@dataclass(frozen=True)
class CostReport:
    """What a month costs."""

    month: str
    until: datetime
    """Later records are not counted."""
    laundromats: tuple[LaundromatCost, ...]
    """Those that billed most bytes come first."""
    shared: tuple[SharedCost, ...]
    total: Usage
    """Of laundromats and what they share."""
    messages: MessageCounts
    """Of all laundromats whose messages are known."""
    not_readable: tuple[str, ...] = field(default=())
    """Laundromats whose figures cannot be read."""


def messages_of(rows: Iterable[Sequence[Any]], month: Month) -> MessageCounts:
    """Return the messages of a month from rows with COLUMNS_OF_MESSAGES."""
    counts: Counter[str] = Counter()
    cost = Decimal(0)
    for day, *numbers, cost_brl in rows:
        if month.has(day):
            counts.update(dict(zip(COLUMNS_OF_MESSAGES[1:-1], numbers, strict=True)))
            cost += cost_brl or 0
    return MessageCounts(**counts, cost_brl=cost.quantize(_CENT))


def cost_report(
    month: Month,
    *,
    until: datetime,
    usage: Mapping[str, Usage],
    messages: Mapping[str, MessageCounts | None],
    shared: Mapping[str, Usage],
    not_readable: Sequence[str] = (),
) -> CostReport:
    """Return the report of a month.

    Args:
        month: The month.
        until: Later records are not counted.
        usage: By CNPJ, for laundromats with records.
        messages: By CNPJ, for the laundromats to be shown; None: unknown.
        shared: By name, what belongs to no single laundromat.
        not_readable: Laundromats whose figures cannot be read.

    """
    laundromats = [
        LaundromatCost(cnpj, usage.get(cnpj, Usage()), messages.get(cnpj))
        for cnpj in {*usage, *messages}
    ]
    return CostReport(
        str(month),
        until,
        tuple(sorted(laundromats, key=lambda item: (-item.usage.bytes_billed, item.cnpj))),
        tuple(SharedCost(name, of) for name, of in sorted(shared.items())),
        sum([*usage.values(), *shared.values()], Usage()),
        sum(filter(None, messages.values()), MessageCounts()),
        tuple(not_readable),
    )
