"""The figures of a laundromat's report: plain sums, put together from the rows of the tables."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from loader.base.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj

__all__ = [
    "FAILURE_CLASSES",
    "OTHER",
    "Campaign",
    "Day",
    "Lift",
    "OwnerFigures",
    "Period",
    "ReportedLaundromat",
    "Rows",
    "Sums",
    "Variant",
    "figures_of",
    "group_name",
]

FAILURE_CLASSES = (
    "temporary",
    "deferred",
    "opted_out",
    "unreachable",
    "content",
    "sender",
    "unknown",
)
OTHER = "OTHER"

_STAGE = re.compile(r"STAGE_[0-9]{1,2}")
_UNKNOWN = "UNKNOWN"
_NO_MONEY = Decimal("0.00")
# In the order of a customer's life; other campaigns follow, by name.
_ORDER = ("WELCOME", "BIRTHDAY", "REACTIVATION", "LOYALTY")
_VARIANT_ORDER = ("BRONZE", "SILVER", "GOLD")


@dataclass(frozen=True)
class Period:
    """The business days a report is about, both ends included."""

    first_on: date
    last_on: date

    @classmethod
    def ending(cls, last_on: date, days: int) -> Period:
        """Return the period of this many days that ends on this day."""
        return cls(last_on - timedelta(days=days - 1), last_on)

    def days(self) -> tuple[date, ...]:
        """Return every day."""
        count = (self.last_on - self.first_on).days + 1
        return tuple(self.first_on + timedelta(days=number) for number in range(count))


@dataclass(frozen=True)
class ReportedLaundromat:
    """The laundromat of a report, with the facts that its texts need."""

    cnpj: Cnpj
    name: str
    built_at: datetime
    """When the tables were last built, in the laundromat's time zone."""
    conversion_days: int
    """For how many days a purchase is credited to a message."""
    names: frozenset[str]
    """The project's campaigns, tiers and text variants; stages may be missing here."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Figures that can be added up over days, tiers and campaigns."""

    candidates: int = 0
    held_out: int = 0
    targets: int = 0
    attempts: int = 0
    sent: int = 0
    delivered: int = 0
    read: int = 0
    replied: int = 0
    failed: int = 0
    failed_temporary: int = 0
    failed_deferred: int = 0
    failed_opted_out: int = 0
    failed_unreachable: int = 0
    failed_content: int = 0
    failed_sender: int = 0
    failed_unknown: int = 0
    billed: int = 0
    """Delivered messages that WhatsApp charges."""
    unpriced: int = 0
    """Delivered messages whose price is not known; they are not in the cost."""
    cost_brl: Decimal = _NO_MONEY
    converted: int = 0
    """Messages with at least one credited purchase."""
    purchases: int = 0
    revenue_brl: Decimal = _NO_MONEY
    vouchers_sent: int = 0
    vouchers_redeemed: int = 0
    """Sent codes that were used."""
    voucher_revenue_brl: Decimal = _NO_MONEY
    vouchers_untraced: int = 0
    """Codes that were used without a known message; not part of the sent ones."""
    untraced_revenue_brl: Decimal = _NO_MONEY

    @classmethod
    def total(cls, parts: Iterable[Sums]) -> Sums:
        """Return the sum of the parts."""
        whole: dict[str, Any] = {field.name: field.default for field in fields(cls)}
        for part in parts:
            for name in whole:
                whole[name] += getattr(part, name)
        return cls(**whole)

    def failures(self) -> dict[str, int]:
        """Return the failures by class."""
        return {name: getattr(self, f"failed_{name}") for name in FAILURE_CLASSES}


@dataclass(frozen=True)
class Day:
    """The messages sent on one business day, and how far they came."""

    on: date
    sent: int
    delivered: int
    read: int


@dataclass(frozen=True)
class Lift:
    """The difference in buyers between the treated customers and the control group."""

    treated: int
    treated_converted: int
    held_out: int
    held_out_converted: int
    treated_rate: float | None
    held_out_rate: float | None
    lift_low: float | None
    lift_high: float | None
    verdict: str


@dataclass(frozen=True)
class Variant:
    """One tier or stage of a campaign."""

    template_variant: str
    sums: Sums


@dataclass(frozen=True)
class Campaign:
    """One campaign; its tiers and stages add up to it."""

    campaign_type: str
    sums: Sums
    variants: tuple[Variant, ...]
    lift: Lift | None
    """For all time, not for the period; None: there never was a control group."""


@dataclass(frozen=True)
class OwnerFigures:
    """All figures of the page; they name no customer."""

    laundromat: ReportedLaundromat
    period: Period
    totals: Sums
    days: tuple[Day, ...]
    """Every day of the period."""
    campaigns: tuple[Campaign, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return self.totals == Sums() and not any(campaign.lift for campaign in self.campaigns)


@dataclass(frozen=True)
class Rows:
    """The tables' rows; except in lift, their columns have the names of sums."""

    performance: Sequence[Mapping[str, Any]] = ()
    conversions: Sequence[Mapping[str, Any]] = ()
    vouchers: Sequence[Mapping[str, Any]] = ()
    lift: Sequence[Mapping[str, Any]] = ()


def group_name(raw: str | None, names: Container[str]) -> str:
    """Return the name of a campaign, tier or stage, or OTHER for any other text.

    No other text of the tables reaches the page. An older system may have written anything into
    these columns, even a customer's name or phone.
    """
    if raw is None:
        return _UNKNOWN
    return raw if raw in names or _STAGE.fullmatch(raw) else OTHER


def figures_of(laundromat: ReportedLaundromat, period: Period, rows: Rows) -> OwnerFigures:
    """Return the figures of a period.

    Raises:
        RunError: The failures do not add up.

    """
    names = laundromat.names
    groups: dict[tuple[str, str], list[Sums]] = {}
    for row in (*rows.performance, *rows.conversions, *rows.vouchers):
        key = group_name(row["campaign_type"], names), group_name(row["template_variant"], names)
        groups.setdefault(key, []).append(_sums(row))
    by_group = {key: Sums.total(parts) for key, parts in groups.items()}
    totals = Sums.total(by_group.values())
    if sum(totals.failures().values()) != totals.failed:
        message = f"campaign_performance of {laundromat.cnpj}: failures do not add up"
        raise RunError(message, hint="this is a bug in the models: report it")
    lifts = {group_name(row["campaign_type"], names): _lift(row) for row in rows.lift}
    return OwnerFigures(
        laundromat,
        period,
        totals,
        _days(period, rows.performance),
        tuple(
            _campaign(campaign_type, by_group, lifts.get(campaign_type))
            for campaign_type in sorted({*(key[0] for key in groups), *lifts}, key=_rank)
        ),
    )


def _sums(row: Mapping[str, Any]) -> Sums:
    found: dict[str, Any] = {
        field.name: row[field.name] for field in fields(Sums) if row.get(field.name) is not None
    }
    for name, value in found.items():
        if isinstance(value, Decimal):
            # Round to the cent before adding: the rows of a table then add up to its total.
            found[name] = value.quantize(_NO_MONEY)
    return Sums(**found)


def _days(period: Period, rows: Sequence[Mapping[str, Any]]) -> tuple[Day, ...]:
    by_day: dict[date, list[Sums]] = {day: [] for day in period.days()}
    for row in rows:
        by_day[row["business_date"]].append(_sums(row))
    sums = {day: Sums.total(parts) for day, parts in by_day.items()}
    return tuple(Day(day, of.sent, of.delivered, of.read) for day, of in sums.items())


def _lift(row: Mapping[str, Any]) -> Lift:
    return Lift(**{field.name: row[field.name] for field in fields(Lift)})


def _campaign(
    campaign_type: str, by_group: Mapping[tuple[str, str], Sums], lift: Lift | None
) -> Campaign:
    variants = tuple(
        Variant(variant, sums)
        for (of, variant), sums in sorted(by_group.items(), key=lambda item: _rank(item[0][1]))
        if of == campaign_type
    )
    total = Sums.total(variant.sums for variant in variants)
    return Campaign(campaign_type, total, variants, lift)


def _rank(name: str) -> tuple[int, str]:
    for order in (_ORDER, _VARIANT_ORDER):
        if name in order:
            return order.index(name), name
    return len(_ORDER) + (name in {OTHER, _UNKNOWN}), name
