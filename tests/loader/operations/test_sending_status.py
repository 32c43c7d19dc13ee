"""How sending is doing: what the senders' rows add up to, and when that is an alert."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from loader.operations.status.alerts import changes, conditions
from loader.operations.status.facts import Facts, Limits
from loader.operations.status.sending import SendPause, SendRow, SendStatus, send_status
from tests.support import AS_OF

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def row(ago: timedelta = 5 * MINUTE, run_id: str = "a", **changed: Any) -> SendRow:
    return replace(
        SendRow(
            run_id=run_id,
            started_at=AS_OF - 10 * HOUR,
            recorded_at=AS_OF - ago,
            sent=0,
            unknown=0,
            failed={},
            errors=0,
            waiting={},
            oldest_waiting_at=None,
            open_attempts=0,
            people_left={"1001": 225},
            money_left={},
        ),
        **changed,
    )


def pause(kind: str = "token", length: timedelta = HOUR, **changed: Any) -> SendPause:
    begun_at = AS_OF - MINUTE
    return replace(SendPause(kind, "TOKEN_A", "190", begun_at, begun_at + length), **changed)


def status(*rows: SendRow, pauses: tuple[SendPause, ...] = ()) -> SendStatus:
    found = send_status(rows, pauses, AS_OF)
    assert found is not None
    return found


def wrong(sending: SendStatus | None, limits: Limits | None = None) -> dict[str, str]:
    found = conditions(Facts(AS_OF, sending=sending), limits or Limits()).wrong
    return {name: text for name, text in found.items() if name.startswith("send_")}


# What the rows add up to


def test_counts_since_the_start_become_counts_of_a_day_and_an_hour() -> None:
    found = status(
        row(25 * HOUR, started_at=AS_OF - 90 * HOUR, sent=100, failed={"template": 7}),
        row(2 * HOUR, started_at=AS_OF - 90 * HOUR, sent=130, failed={"template": 7, "pair": 1}),
        row(started_at=AS_OF - 90 * HOUR, sent=135, unknown=2, failed={"template": 7, "pair": 3}),
        row(30 * MINUTE, "b", started_at=AS_OF - 3 * HOUR, sent=10, errors=4),
    )
    assert (found.sent, found.sent_last_hour) == (45, 15)
    assert (found.failed, found.failed_last_hour) == ({"pair": 3}, {"pair": 2})
    assert (found.unknown, found.errors) == (2, 4)


def test_what_a_sender_did_before_its_first_row_that_is_read_is_not_of_this_day() -> None:
    found = status(
        row(23 * HOUR, started_at=AS_OF - 900 * HOUR, sent=5000),
        row(started_at=AS_OF - 900 * HOUR, sent=5020),
    )
    assert found.sent == 20


def test_a_sender_that_was_started_anew_takes_the_place_of_its_predecessor() -> None:
    oldest = AS_OF - 3 * HOUR
    before = row(
        9 * MINUTE, "a", sent=8, waiting={"paused": 5}, oldest_waiting_at=oldest, open_attempts=1
    )
    after = row(
        MINUTE, "b", started_at=AS_OF - 8 * MINUTE, sent=1, waiting={"next": 2, "expired": 9}
    )
    beside = row(
        2 * MINUTE, "c", waiting={"budget": 3, "no_account": 2}, people_left={"1002": None}
    )
    found = status(before, after, beside)
    assert (found.senders, found.sent) == (2, 9)
    assert found.waiting == {"next": 2, "budget": 3}
    assert (found.oldest_waiting_at, found.open_attempts) == (None, 0)
    assert found.people_left == {"1001": 225, "1002": None}


def test_of_pauses_the_latest_that_holds_is_shown() -> None:
    found = status(
        row(),
        pauses=(
            pause(length=30 * MINUTE, begun_at=AS_OF - 2 * HOUR, until=AS_OF - HOUR),
            pause(length=5 * MINUTE, reason="older", begun_at=AS_OF - 4 * MINUTE),
            pause(),
            pause("number", key="5001"),
        ),
    )
    assert [(item.kind, item.key, item.reason) for item in found.pauses] == [
        ("number", "5001", "190"),
        ("token", "TOKEN_A", "190"),
    ]


def test_rows_of_later_are_not_known_yet() -> None:
    assert send_status([row(-MINUTE)], [], AS_OF) is None


# When something is wrong


def test_a_fleet_without_a_sender_of_ours_has_no_alert_and_ends_none() -> None:
    found = conditions(Facts(AS_OF), Limits())
    assert not any(name.startswith("send_") for name in found.wrong)
    before = dict.fromkeys(["send_silent", "send_waiting", "send_paused:token:TOKEN_A"], AS_OF)
    assert not {change.alert for change in changes(found, before)} & before.keys()


def test_a_sender_that_does_well_has_no_alert() -> None:
    fine = row(
        sent=100,
        failed={"unreachable": 60, "opted_out": 9},
        oldest_waiting_at=AS_OF - 2 * HOUR,
        open_attempts=9,
    )
    assert wrong(status(fine, pauses=(pause(length=14 * MINUTE),))) == {}


@pytest.mark.parametrize(
    ("changed", "limits", "alert"),
    [
        ({"recorded_at": AS_OF - 2 * HOUR - MINUTE}, Limits(), "send_silent"),
        (
            {"oldest_waiting_at": AS_OF - 2 * HOUR - MINUTE, "waiting": {"paused": 3, "budget": 1}},
            Limits(),
            "send_waiting",
        ),
        ({"oldest_waiting_at": AS_OF - 2 * MINUTE}, Limits(waiting_minutes=1), "send_waiting"),
        ({"sent": 19, "failed": {"template": 4, "sender": 1}}, Limits(), "send_failing"),
        ({"open_attempts": 10}, Limits(), "send_unknown"),
    ],
)
def test_each_limit_has_its_alert(changed: dict[str, Any], limits: Limits, alert: str) -> None:
    assert list(wrong(status(row(**changed, started_at=AS_OF - HOUR)), limits)) == [alert]


def test_alerts_say_what_is_to_be_known_at_night() -> None:
    waits = row(
        oldest_waiting_at=AS_OF - 3 * HOUR, waiting={"paused": 3, "budget": 1}, open_attempts=12
    )
    texts = wrong(status(waits, pauses=(pause(),)))
    assert texts == {
        "send_waiting": "A target waits since 2026-11-23 10:00Z to be sent; at the last poll: "
        "1 budget, 3 paused",
        "send_unknown": "12 attempts have an unknown outcome; no machine sends them again",
        "send_paused:token:TOKEN_A": "Nothing is sent by token TOKEN_A from 2026-11-23 12:59Z to "
        "2026-11-23 13:59Z: 190",
    }


def test_a_silent_sender_leaves_the_other_alerts_as_they_are() -> None:
    silent = status(row(3 * HOUR, open_attempts=50), pauses=(pause(),))
    found = conditions(Facts(AS_OF, sending=silent), Limits())
    assert [name for name in found.wrong if name.startswith("send_")] == ["send_silent"]
    before = dict.fromkeys(["send_unknown", "send_paused:token:TOKEN_A"], AS_OF)
    assert not {change.alert for change in changes(found, before)} & before.keys()
