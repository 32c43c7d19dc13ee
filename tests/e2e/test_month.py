"""The whole pipeline over many days: real sender and webhook, outages, faults, late receipts.

`make soak` plays more than forty days; the short form crosses the end of the year.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.month.course import Course, Outages
from tests.month.figures import Observer, check_figures
from tests.month.wishes import check_confirmations, check_opt_outs, give_replies
from tests.month.world import make_laundromats
from tests.support import HOURLY_BUILD, history

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loader.services import Services
    from tests.month.outbox import Outbox

_log = logging.getLogger(__name__)


def check_history(services: Services, outbox: Outbox) -> None:
    """Check that every attempt has a row with everything known about it, and no row is extra."""
    attempts = {attempt.key: attempt for attempt in outbox.log}
    rows = history(services, outbox.laundromat.cnpj)
    found = {
        key: (
            row["status"],
            row["sent_at"],
            row["message_id"],
            row["whatsapp_user_id"],
            row["delivered_at"],
            row["read_at"],
            row["replied_at"],
            row["error_code"],
            row["recoverable"],
            row["template_variant"],
            row["voucher_code"],
        )
        for row in rows
        for key in [(row["campaign_type"], row["user_id"], row["cycle_key"], row["attempt"])]
    }
    expected = {
        key: (
            attempt.status,
            attempt.at,
            attempt.known_message_id,
            attempt.user_id if attempt.known_message_id else None,
            attempt.delivered_at,
            attempt.read_at,
            attempt.replied_at,
            attempt.error_code,
            attempt.is_recoverable,
            attempt.variant,
            attempt.voucher_code,
        )
        for key, attempt in attempts.items()
    }
    assert found == expected
    assert len(rows) == len(outbox.log)


def play(
    services: Services,
    outages: Outages,
    *,
    hours: Iterable[int],
    days: int,
    figures_every_days: int,
) -> Course:
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
    # What WhatsApp has still to tell until then.
    course.network.act(end, [])
    outboxes = list(course.outboxes.values())
    for outbox in outboxes:
        outbox.settle(end)
    give_replies(course.network, outboxes)
    check_confirmations(course.network)
    for laundromat in places:
        # Track the last hours, and build the last figures.
        report = services.track([laundromat.cnpj], as_of=end)
        assert report.exit_code == 0
        outbox = course.outboxes[laundromat.cnpj]
        check_history(services, outbox)
        check_opt_outs(services, outbox)
        services.build(services.laundromat(laundromat.cnpj), as_of=end, arguments=HOURLY_BUILD)
        course.build_figures(laundromat.cnpj, end)
        check_figures(services, outbox, observer, end)
    course.network.close()
    return course


def test_a_few_days_across_the_end_of_the_year(services: Services) -> None:
    begin = datetime.combine(date(2026, 12, 30), datetime.min.time(), UTC)
    outages = Outages(begin, silent_days=(1,), untracked_days=(2,), laundromats=1)
    # Inside and at the end of each day's send window, and at night.
    hours = [12, 37, 60, 61, 74, 86]
    course = play(services, outages, hours=hours, days=4, figures_every_days=3)
    (outbox,) = course.outboxes.values()
    sent = {attempt.campaign_type for attempt in outbox.log}
    assert sent == {"BIRTHDAY", "WELCOME", "REACTIVATION", "LOYALTY"}
    # It is about all that WhatsApp does: refuse, take without a word, tell, and be answered.
    assert {"FAILED", "SENT", "DELIVERED", "READ"} <= {attempt.status for attempt in outbox.log}
    assert any(attempt.is_unanswered for attempt in outbox.log)
    assert any(attempt.replies for attempt in outbox.log)
    assert any(words.text == "SAIR" for words, _ in course.network.words.values())


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_six_weeks_hour_by_hour(services: Services) -> None:
    begin = datetime.combine(date(2026, 12, 10), datetime.min.time(), UTC)
    outages = Outages(begin, silent_days=(8, 9), missed_days=(15,), untracked_days=(22,))
    play(services, outages, hours=range(41 * 24), days=41, figures_every_days=3)
