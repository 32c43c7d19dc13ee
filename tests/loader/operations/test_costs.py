"""What a month costs: months, sums, and the alert over a limit."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from loader.base.errors import ConfigurationError
from loader.operations.status.alerts import changes, conditions
from loader.operations.status.costs import (
    LaundromatCost,
    MessageCounts,
    Month,
    Usage,
    cost_report,
    messages_of,
)
from loader.operations.status.facts import Facts, Limits
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, NUMERIC_CNPJ

GIB = 2**30
NOVEMBER = Month(date(2026, 11, 1))
ALERT = f"over_cost:{NUMERIC_CNPJ}"


def over(found: Facts, limits: Limits) -> list[str]:
    """Return which alerts end, of one about costs that is open."""
    changed = changes(conditions(found, limits), {ALERT: AS_OF})
    return [change.alert for change in changed if not change.is_open]


@pytest.mark.parametrize("text", ["2026-13", "2026", "11/2026", "2026-11-01", "x"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no month"):
        Month.parse(text)


@pytest.mark.parametrize(("text", "next_one"), [("2026-11", "2026-12"), ("2026-12", "2027-01")])
def test_a_month_ends_where_the_next_one_begins(text: str, next_one: str) -> None:
    month = Month.parse(text)
    assert str(month) == text
    assert month.ends_at == Month.parse(next_one).begins_at
    assert Month.of(month.last_instant) == month
    assert Month.of(month.ends_at) == Month.parse(next_one)


def test_messages_are_those_of_the_months_days() -> None:
    rows = [
        (date(2026, 10, 31), 9, 9, 9, 9, Decimal(9)),
        (date(2026, 11, 1), 3, 2, 1, 1, Decimal("0.35")),
        (date(2026, 11, 30), 2, 2, 2, 0, Decimal("0.70")),
        (date(2025, 11, 30), 9, 9, 9, 9, Decimal(9)),
    ]
    assert messages_of(rows, NOVEMBER) == MessageCounts(5, 4, 3, 1, Decimal("1.05"))


def test_the_sum_has_all_laundromats_and_what_they_share() -> None:
    report = cost_report(
        NOVEMBER,
        until=AS_OF,
        usage={NUMERIC_CNPJ: Usage(1, 10, 5, 2), ALPHANUMERIC_CNPJ: Usage(2, 30, 1, 1)},
        messages={NUMERIC_CNPJ: MessageCounts(4, 3, 2, 1, Decimal(2)), "11444777000161": None},
        shared={"webhook": Usage(0, 0, 7, 3), "status": Usage(8, 80, 0, 0)},
    )
    assert report.total == Usage(11, 120, 13, 6)
    assert report.messages.cost_brl == Decimal(2)
    # The most expensive one first; one without records and without figures is there, too.
    assert report.laundromats == (
        LaundromatCost(ALPHANUMERIC_CNPJ, Usage(2, 30, 1, 1), None),
        LaundromatCost(NUMERIC_CNPJ, Usage(1, 10, 5, 2), MessageCounts(4, 3, 2, 1, Decimal(2))),
        LaundromatCost("11444777000161", Usage(), None),
    )
    assert [shared.name for shared in report.shared] == ["status", "webhook"]


@pytest.mark.parametrize(("gib", "is_wrong"), [(40.0, False), (40.5, True)])
def test_a_month_over_the_limit_is_an_alert_which_the_next_month_ends(
    gib: float, *, is_wrong: bool
) -> None:
    limits = Limits(month_gib=40)
    found = Facts(AS_OF, month_bytes={NUMERIC_CNPJ: int(gib * GIB)})
    told = conditions(found, limits).wrong.get(ALERT, "")
    assert bool(told) == is_wrong
    if is_wrong:
        assert told == (
            f"The runs of {NUMERIC_CNPJ} have billed 40.5 GiB since 2026-11-01, more than 40"
        )
    december = Facts(datetime(2026, 12, 1, tzinfo=UTC), month_bytes={})
    assert over(december, limits) == [ALERT]


def test_a_check_without_the_limit_leaves_the_alert_as_it_is() -> None:
    assert ALERT not in conditions(Facts(AS_OF), Limits()).wrong
    assert over(Facts(AS_OF), Limits()) == []
