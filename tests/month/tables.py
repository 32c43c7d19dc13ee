"""A laundromat's figures as its tables have them, in the form of `tests.month.figures`."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from datetime import date

    from loader.services import Services

__all__ = ["PRICE_BRL", "CycleKey", "TableFigures"]

CycleKey = tuple[str, str, str]
PRICE_BRL = Decimal("0.35")


class TableFigures:
    """A laundromat's figures in its tables."""

    def __init__(self, services: Services, cnpj: str) -> None:
        self._services = services
        self._cnpj = cnpj

    def _rows(self, table: str) -> list[dict[str, Any]]:
        sql = f"select * from `{self._cnpj}_CAMPAIGN`.`{table}`"
        rows = self._services.warehouse.query(sql, doing=f"reading {table}")
        assert {row["cnpj"] for row in rows} <= {self._cnpj}
        return rows

    def messages(self) -> dict[CycleKey, Any]:
        return {
            (row["campaign_type"], row["customer_id"], row["message_key"]): (
                row["attempt"],
                row["sent_at"],
                row["status"],
                row["template_variant"],
            )
            for row in self._rows("messages")
        }

    def cycles(self) -> dict[CycleKey, Any]:
        return {
            (row["campaign_type"], row["customer_id"], row["cycle_key"]): (
                row["first_seen_at"],
                row["first_targeted_at"],
                row["first_held_out_at"],
            )
            for row in self._rows("target_log")
        }

    def attempts(self) -> Counter[tuple[str, str, date, str]]:
        names = ("attempts", "sent", "delivered", "read", "replied", "failed", "billed", "unpriced")
        classes = ("temporary", "deferred", "opted_out", "unreachable", "content", "sender")
        found: Counter[tuple[str, str, date, str]] = Counter()
        for row in self._rows("campaign_performance"):
            place = (row["campaign_type"], row["template_variant"], row["business_date"])
            for name in (*names, *(f"failed_{it}" for it in (*classes, "unknown"))):
                found[(*place, name)] += row[name]
            assert Decimal(str(row["cost_brl"])) == row["billed"] * PRICE_BRL
            _check_rate(row["delivery_rate"], row["delivered"], row["sent"])
            _check_rate(row["read_rate"], row["read"], row["sent"])
            _check_rate(row["reply_rate"], row["replied"], row["sent"])
            _check_rate(row["failure_rate"], row["failed"], row["attempts"])
        return +found

    def days(self) -> Counter[tuple[str, date, str]]:
        found: Counter[tuple[str, date, str]] = Counter()
        for row in self._rows("campaign_performance"):
            for name in ("candidates", "held_out", "targets"):
                found[row["campaign_type"], row["business_date"], name] += row[name]
        return +found

    def conversions(self) -> dict[CycleKey, Any]:
        return {
            (row["campaign_type"], row["customer_id"], row["message_key"]): (
                row["first_purchase_at"],
                row["purchases"],
                round(float(row["revenue_brl"]), 2),
            )
            for row in self._rows("campaign_conversions")
        }

    def redemptions(self) -> dict[str, Any]:
        return {
            row["voucher_code"]: (
                row["customer_id"],
                row["redemptions"],
                row["first_redeemed_at"],
                round(float(row["revenue_brl"]), 2),
                row["is_used_by_other"],
            )
            for row in self._rows("voucher_redemptions")
        }

    def lift(self) -> dict[str, Any]:
        return {
            row["campaign_type"]: (
                row["treated"],
                row["treated_converted"],
                row["held_out"],
                row["held_out_converted"],
                *(
                    None if row[name] is None else round(row[name], 4)
                    for name in ("lift", "lift_low", "lift_high")
                ),
                row["verdict"],
            )
            for row in self._rows("campaign_lift")
        }


def _check_rate(rate: float | None, part: int, whole: int) -> None:
    assert rate == (None if whole == 0 else pytest.approx(part / whole))
