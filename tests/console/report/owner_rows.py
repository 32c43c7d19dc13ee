"""Rows of the tables of figures of a medium laundromat, made by a rule without chance."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from console.report.figures import (
    FAILURE_CLASSES,
    OwnerFigures,
    Period,
    ReportedLaundromat,
    Rows,
    figures_of,
)
from tests.support import ALPHANUMERIC_CNPJ

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LAST_ON = date(2026, 11, 23)
LAUNDROMAT = ReportedLaundromat(
    ALPHANUMERIC_CNPJ,
    "Lavanderia Ipê Amarelo",
    datetime(2026, 11, 23, 10, tzinfo=ZoneInfo("America/Sao_Paulo")),
    14,
    names=frozenset(
        {"BIRTHDAY", "WELCOME", "REACTIVATION", "LOYALTY"} | {"DEFAULT", "BRONZE", "SILVER", "GOLD"}
    ),
)
GROUPS = {
    "BIRTHDAY": ("DEFAULT",),
    "WELCOME": ("DEFAULT",),
    "REACTIVATION": ("STAGE_1", "STAGE_2", "STAGE_3"),
    "LOYALTY": ("BRONZE", "SILVER", "GOLD"),
}
FIFTH_GROUPS = {**GROUPS, "NATAL_2026": ("DEFAULT", "VIP")}

Row = dict[str, Any]


def performance_row(
    day: date = LAST_ON,
    campaign_type: str = "BIRTHDAY",
    template_variant: str | None = "DEFAULT",
    **counts: int,
) -> Row:
    """Return a row of campaign_performance; columns that are not given are 0."""
    failures = {f"failed_{name}": 0 for name in FAILURE_CLASSES}
    failures |= {name: count for name, count in counts.items() if name in failures}
    zeros = dict.fromkeys(
        (
            *("candidates", "held_out", "targets", "attempts", "sent", "delivered", "read"),
            *("replied", "billed", "unpriced"),
        ),
        0,
    )
    return {
        "campaign_type": campaign_type,
        "template_variant": template_variant,
        "business_date": day,
        **zeros,
        "cost_brl": Decimal("0.35") * counts.get("billed", 0),
        **counts,
        **failures,
        "failed": sum(failures.values()),
    }


def conversion_row(
    campaign_type: str, template_variant: str | None, purchases: int, revenue: str
) -> Row:
    """Return a row of the report's query of campaign_conversions."""
    return {
        "campaign_type": campaign_type,
        "template_variant": template_variant,
        "converted": purchases,
        "purchases": purchases,
        "revenue_brl": Decimal(revenue),
    }


def voucher_row(campaign_type: str, template_variant: str | None, **values: Any) -> Row:
    """Return a row of the report's query of voucher_redemptions."""
    return {
        "campaign_type": campaign_type,
        "template_variant": template_variant,
        "vouchers_sent": 0,
        "vouchers_redeemed": 0,
        "voucher_revenue_brl": Decimal(0),
        "vouchers_untraced": 0,
        "untraced_revenue_brl": Decimal(0),
        **values,
    }


def lift_row(campaign_type: str, **values: Any) -> Row:
    """Return a row of campaign_lift in which the message increases purchases."""
    return {
        "campaign_type": campaign_type,
        "treated": 812,
        "treated_converted": 260,
        "held_out": 90,
        "held_out_converted": 18,
        "treated_rate": 0.3202,
        "held_out_rate": 0.2,
        "lift_low": 0.0231,
        "lift_high": 0.1987,
        "verdict": "MORE_PURCHASES",
        **values,
    }


def sample_rows(
    period: Period, groups: Mapping[str, tuple[str, ...]] = GROUPS, *, scale: int = 1
) -> Rows:
    """Return rows of every group, on every day."""
    keys = [(of, variant) for of, variants in groups.items() for variant in variants]
    return Rows(
        performance=list(_performance(period, keys, scale)),
        conversions=[
            conversion_row(*key, scale * (7 + place), f"{scale * (7 + place) * 27}.45")
            for place, key in enumerate(keys)
        ],
        vouchers=[
            *(
                voucher_row(
                    *key,
                    vouchers_sent=scale * 40 * place,
                    vouchers_redeemed=scale * 3 * place,
                    voucher_revenue_brl=Decimal(scale * 61 * place),
                )
                for place, key in enumerate(keys)
            ),
            voucher_row(
                "LOYALTY", None, vouchers_untraced=2, untraced_revenue_brl=Decimal("54.80")
            ),
        ],
        lift=[
            lift_row("LOYALTY"),
            lift_row("BIRTHDAY", held_out=12, held_out_converted=1, verdict="TOO_FEW_TO_TELL"),
            lift_row(
                "REACTIVATION", lift_low=-0.04, lift_high=0.0412, verdict="NO_CLEAR_DIFFERENCE"
            ),
        ],
    )


def _performance(period: Period, keys: list[tuple[str, str]], scale: int) -> Iterator[Row]:
    for place, day in enumerate(period.days()):
        for group, (campaign_type, variant) in enumerate(keys):
            if campaign_type == "REACTIVATION" and day.day < 20:
                continue
            attempts = scale * (3 + (place * 7 + group * 5) % 11)
            failed = attempts // 6
            sent = attempts - failed
            reason = FAILURE_CLASSES[(place + group) % len(FAILURE_CLASSES)]
            yield performance_row(
                day,
                campaign_type,
                variant,
                candidates=attempts + 4,
                held_out=1,
                targets=attempts,
                attempts=attempts,
                sent=sent,
                delivered=sent - sent // 9,
                read=sent * 2 // 3,
                replied=sent // 8,
                billed=sent - sent // 9,
                **{f"failed_{reason}": failed},
            )


def sample_figures(
    days: int, groups: Mapping[str, tuple[str, ...]] = GROUPS, *, scale: int = 1
) -> OwnerFigures:
    """Return the figures of this many days."""
    period = Period.ending(LAST_ON, days)
    return figures_of(LAUNDROMAT, period, sample_rows(period, groups, scale=scale))


def empty_figures(laundromat: ReportedLaundromat = LAUNDROMAT) -> OwnerFigures:
    """Return the figures of a laundromat that has sent nothing yet."""
    return figures_of(laundromat, Period.ending(LAST_ON, 30), Rows())
