"""How the webhook is doing: what its rows add up to, and when that is an alert."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from loader.operations.status.alerts import changes, conditions
from loader.operations.status.facts import Facts, Limits
from loader.operations.status.webhook import WebhookRow, WebhookStatus, webhook_status
from tests.support import AS_OF

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ALERTS = ("webhook_silent", "webhook_failing", "webhook_refused")


def row(ago: timedelta = 5 * MINUTE, run_id: str = "a", **changed: Any) -> WebhookRow:
    fresh = WebhookRow(run_id, AS_OF - 10 * HOUR, AS_OF - ago, answers={}, items={})
    return replace(fresh, **changed)


def status(*rows: WebhookRow) -> WebhookStatus:
    found = webhook_status(rows, AS_OF)
    assert found is not None
    return found


def answered(**counts: int) -> WebhookStatus:
    """Return the state of a webhook that answered POSTs, such as ``_200=3``, in the last hour."""
    answers = {name.removeprefix("_"): count for name, count in counts.items()}
    return status(row(HOUR), row(answers=answers))


def wrong(webhook: WebhookStatus | None) -> dict[str, str]:
    found = conditions(Facts(AS_OF, webhook=webhook), Limits()).wrong
    return {name: text for name, text in found.items() if name.startswith("webhook_")}


def kept_open(webhook: WebhookStatus | None) -> set[str]:
    """Return which alerts of an earlier check stay as they are, whether wrong or not known."""
    found = conditions(Facts(AS_OF, webhook=webhook), Limits())
    ended = {change.alert for change in changes(found, dict.fromkeys(ALERTS, AS_OF))}
    return {*ALERTS} - ended


# What the rows add up to


def test_counts_since_the_start_become_answers_of_an_hour_and_items_of_a_day() -> None:
    started_at = AS_OF - 90 * HOUR
    found = status(
        row(25 * HOUR, started_at=started_at, answers={"200": 900}, items={"receipt": 1000}),
        row(HOUR, started_at=started_at, answers={"200": 950, "401": 4}, items={"receipt": 1080}),
        row(
            started_at=started_at,
            answers={"200": 957, "401": 4, "503": 2},
            items={"receipt": 1090, "opt_out": 3, "unmatched": 2, "rejected": 1, "ignored": 9},
        ),
    )
    assert found == WebhookStatus(
        recorded_at=AS_OF - 5 * MINUTE,
        processes=1,
        answers_last_hour={"200": 7, "503": 2},
        receipts=90,
        opt_outs=3,
        unmatched=2,
        rejected=1,
    )
    assert (found.posts, found.refused, found.failed) == (9, 0, {"503": 2})


def test_what_a_process_received_before_its_first_row_that_is_read_is_not_of_this_day() -> None:
    started_at = AS_OF - 900 * HOUR
    found = status(
        row(23 * HOUR, started_at=started_at, items={"receipt": 5000}),
        row(started_at=started_at, items={"receipt": 5020}),
    )
    assert found.receipts == 20


def test_a_process_that_was_started_anew_counts_from_0_and_takes_the_others_place() -> None:
    before = row(12 * MINUTE, answers={"200": 30}, started_at=AS_OF - HOUR)
    after = row(MINUTE, "b", answers={"200": 4, "500": 1}, started_at=AS_OF - 11 * MINUTE)
    found = status(before, after)
    assert (found.processes, found.answers_last_hour) == (1, {"200": 34, "500": 1})


def test_two_processes_at_once_are_added_and_one_that_has_ended_is_not_at_work() -> None:
    both = [
        row(answers={"200": 30}, items={"opt_out": 1}),
        row(7 * MINUTE, "b", answers={"200": 4}, items={"opt_out": 2}),
    ]
    ended = row(31 * MINUTE, "c", items={"opt_out": 4})
    found = status(*both, ended)
    assert (found.processes, found.opt_outs) == (2, 7)
    assert (found.answers_last_hour, found.recorded_at) == ({"200": 34}, AS_OF - 5 * MINUTE)


def test_without_a_row_or_with_later_ones_only_there_is_no_webhook() -> None:
    assert webhook_status([], AS_OF) is None
    assert webhook_status([row(-MINUTE)], AS_OF) is None


# When something is wrong


def test_a_fleet_without_a_webhook_of_ours_has_no_alert_and_ends_none() -> None:
    assert wrong(None) == {}
    assert kept_open(None) == {*ALERTS}


@pytest.mark.parametrize(
    ("rows", "is_silent"),
    [
        ([row(30 * MINUTE)], False),
        ([row(30 * MINUTE + timedelta(seconds=1))], True),
        # Another process goes on, whether it has replaced the silent one or works beside it.
        ([row(5 * HOUR), row(30 * MINUTE, "b", started_at=AS_OF - 4 * HOUR)], False),
        ([row(5 * HOUR), row(30 * MINUTE, "b")], False),
        # Its successor is silent, too.
        ([row(5 * HOUR), row(31 * MINUTE, "b", started_at=AS_OF - 4 * HOUR)], True),
    ],
)
def test_a_webhook_is_silent_when_its_newest_row_is_older_than_half_an_hour(
    rows: list[WebhookRow], *, is_silent: bool
) -> None:
    assert ("webhook_silent" in wrong(status(*rows))) == is_silent


def test_a_silent_webhook_leaves_the_other_alerts_as_they_are() -> None:
    silent = status(row(31 * MINUTE, started_at=AS_OF - 50 * MINUTE, answers={"401": 90}))
    assert wrong(silent) == {
        "webhook_silent": "No `vmhub webhook` has written a record in the last 30 minutes; "
        "the last one came 2026-11-23 12:29Z"
    }
    assert kept_open(silent) == {*ALERTS}


@pytest.mark.parametrize(
    ("answers", "alert"),
    [
        ({"_200": 10, "_401": 10}, "webhook_refused"),
        ({"_200": 11, "_401": 10}, None),
        ({"_200": 9, "_401": 10}, None),
        ({"_200": 8, "_408": 1, "_413": 1, "_401": 10}, "webhook_refused"),
        ({"_200": 18, "_500": 2}, "webhook_failing"),
        ({"_200": 18, "_500": 1, "_503": 1}, "webhook_failing"),
        ({"_200": 19, "_500": 2}, None),
        ({"_200": 17, "_500": 2}, None),
        ({"_500": 19}, None),
        # Too few of WhatsApp's own; the others are somebody's mistake.
        ({"_200": 17, "_500": 2, "_401": 5, "_408": 1, "_413": 1}, None),
    ],
)
def test_a_share_is_wrong_from_its_limit_on_and_from_twenty_posts(
    answers: dict[str, int], alert: str | None
) -> None:
    assert list(wrong(answered(**answers))) == ([alert] if alert else [])


def test_posts_of_somebody_else_do_not_hide_that_whatsapps_fail() -> None:
    assert [*wrong(answered(_200=5, _500=15, _401=400))] == ["webhook_failing", "webhook_refused"]


@pytest.mark.parametrize(
    ("answers", "open_alerts"),
    [
        ({}, {"webhook_failing", "webhook_refused"}),
        ({"_401": 3}, {"webhook_failing", "webhook_refused"}),
        ({"_500": 3}, {"webhook_failing"}),
        ({"_200": 1}, set()),
    ],
)
def test_a_quiet_hour_begins_no_alert_and_only_a_good_answer_ends_one(
    answers: dict[str, int], open_alerts: set[str]
) -> None:
    assert wrong(answered(**answers)) == {}
    assert kept_open(answered(**answers)) == open_alerts


def test_alerts_say_what_is_to_be_known_at_night() -> None:
    assert wrong(answered(_200=15, _401=60, _500=3, _503=2)) == {
        "webhook_failing": "5 of 20 POSTs since 2026-11-23 12:00Z failed, with 500, 503: "
        "Firestore, a secret or the webhook has a problem",
        "webhook_refused": "60 of 80 POSTs since 2026-11-23 12:00Z had no valid signature: "
        "the app secret is wrong, or somebody else posts",
    }
