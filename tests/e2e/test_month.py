"""The whole pipeline over many days, with a scripted sender, outages and late receipts.

`make soak` plays more than forty days; the short form crosses the end of the year.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.month.course import Course, Outages
from tests.month.figures import Observer, check_figures
from tests.month.world import make_laundromats
from tests.support import HOURLY_BUILD, history

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loader.services import Services
    from tests.month.sender import Sender

_log = logging.getLogger(__name__)


def check_history(services: Services, sender: Sender) -> None:
    """Check that every attempt has a row with everything known about it, and no row is extra."""
    found = {
        (row["campaign_type"], row["user_id"], row["cycle_key"], row["attempt"]): (
            row["status"],
            row["sent_at"],
            row["delivered_at"],
            row["read_at"],
            row["replied_at"],
            row["error_code"],
            row["recoverable"],
            row["template_variant"],
            row["voucher_code"],
        )
        for row in history(services, sender.laundromat.cnpj)
    }
    expected = {
        attempt.key: (
            attempt.status,
            attempt.at,
            attempt.delivered_at,
            attempt.read_at,
            attempt.replied_at,
            attempt.error["code"] if attempt.error else None,
            attempt.error["recoverable"] if attempt.error else None,
            attempt.variant,
            attempt.voucher_code,
        )
        for attempt in sender.log
    }
    assert found == expected
    assert len(history(services, sender.laundromat.cnpj)) == len(sender.log)


def play(
    services: Services,
    outages: Outages,
    *,
    hours: Iterable[int],
    days: int,
    figures_every_days: int,
) -> list[Sender]:
    """Play the hours, and compare everything at the end."""
    begin, end = outages.begin, outages.begin + timedelta(days=days + 1)
    observer = Observer(services)
    places = make_laundromats(begin.date(), days, customers=40)[: outages.laundromats]
    course = Course(services, places, outages, observer.note, figures_every_days)
    course.begin()
    for hour in hours:
        course.play(begin + timedelta(hours=hour))
        if hour % 24 == 0:
            _log.info("day %d", hour // 24)
    for laundromat in places:
        # Track the last hours, and build the last figures.
        report = services.track([laundromat.cnpj], as_of=end)
        assert report.exit_code == 0
        sender = course.senders[laundromat.cnpj]
        check_history(services, sender)
        services.build(services.laundromat(laundromat.cnpj), as_of=end, arguments=HOURLY_BUILD)
        course.build_figures(laundromat.cnpj, end)
        check_figures(services, sender, observer, end)
    return list(course.senders.values())


def test_a_few_days_across_the_end_of_the_year(services: Services) -> None:
    begin = datetime.combine(date(2026, 12, 30), datetime.min.time(), UTC)
    outages = Outages(begin, silent_days=(1,), untracked_days=(2,), laundromats=1)
    # Inside and at the end of each day's send window, and at night.
    hours = [12, 37, 60, 61, 74, 86]
    senders = play(services, outages, hours=hours, days=4, figures_every_days=3)
    sent = {attempt.campaign_type for sender in senders for attempt in sender.log}
    assert sent == {"BIRTHDAY", "WELCOME", "REACTIVATION", "LOYALTY"}


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_six_weeks_hour_by_hour(services: Services) -> None:
    begin = datetime.combine(date(2026, 12, 10), datetime.min.time(), UTC)
    outages = Outages(begin, silent_days=(8, 9), missed_days=(15,), untracked_days=(22,))
    play(services, outages, hours=range(41 * 24), days=41, figures_every_days=3)
