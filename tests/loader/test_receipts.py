"""What the documents of single attempts say, and what they say together with their targets."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loader.messages import HistoryRow, TrackedDocument, history_rows
from loader.receipts import merged, send_row
from loader.track.news import News
from tests.loader.told import AT, LATER, MINUTE, PRICING, History, Told, send


def row_of(**fields: Any) -> HistoryRow:
    row, problems = send_row(send(**fields), LATER)
    assert row is not None
    assert problems == []
    return row


def test_an_attempt_gives_a_row_without_text_and_phone() -> None:
    row = row_of(userId="BR.1", pricing=PRICING, deliveredAt=AT + MINUTE)
    assert row == HistoryRow(
        user_id="a",
        campaign_type="REACTIVATION",
        cycle_key="2026-11",
        attempt=1,
        sent_at=AT,
        status="DELIVERED",
        message_content=None,
        phone=None,
        message_id="m1",
        error_code=None,
        recoverable=None,
        delivered_at=AT + MINUTE,
        read_at=None,
        replied_at=None,
        updated_at=AT + MINUTE,
        template_variant=None,
        voucher_code=None,
        whatsapp_user_id="BR.1",
        price_category="MARKETING_LITE",
        is_billable=True,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # Until its end is known, an attempt blocks like a message.
        ({"status": "SENDING"}, "PENDING"),
        ({"status": "UNKNOWN"}, "PENDING"),
        ({"status": None}, "PENDING"),
        ({"status": "sent to Ana"}, "PENDING"),
        ({"status": "SENT"}, "SENT"),
        ({"status": "delivered"}, "DELIVERED"),
        ({"status": "FAILED"}, "FAILED"),
        # `delivered` may follow `failed`, and a message that is read at once has no `delivered`.
        ({"status": "FAILED", "deliveredAt": AT}, "DELIVERED"),
        ({"status": "UNKNOWN", "deliveredAt": AT}, "DELIVERED"),
        ({"status": "SENT", "readAt": AT}, "READ"),
        ({"status": "READ"}, "READ"),
    ],
)
def test_receipts_say_more_than_the_status(fields: dict[str, Any], expected: str) -> None:
    row, _ = send_row(send(**fields), LATER)
    assert row is not None
    assert row.status == expected


def test_a_failed_attempt_has_its_error_and_whether_it_may_be_repeated() -> None:
    row = row_of(status="FAILED", error={"code": 131026, "message": "x", "recoverable": False})
    assert (row.error_code, row.recoverable) == ("131026", False)


@pytest.mark.parametrize("name", ["campaignType", "customerId", "cycleKey", "attempt"])
@pytest.mark.parametrize("value", [None, "", [], {"a": 1}])
def test_an_attempt_that_cannot_be_named_is_a_counted_oddity(name: str, value: Any) -> None:
    news = News()
    news.add_send(send(**{name: value}), LATER)
    news.add_send(send(attempt=2), LATER)
    assert [key[3] for key in news.rows] == [2]
    [oddity] = news.oddities
    assert (oddity.campaign_type, oddity.customer_id) == ("sends", "attempt-1")
    assert f"which attempt it is: {name}" in oddity.reason


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"pricing": "0.35"}, "pricing is a text"),
        ({"pricing": {"category": 7}}, "pricing.category is a number"),
        ({"pricing": {"category": "11 90000-0001"}}, "pricing.category is not one word"),
        ({"pricing": {"billable": "maybe"}}, "pricing.billable is a text"),
        ({"userId": 7}, "userId is a number"),
        ({"deliveredAt": "yesterday"}, "deliveredAt is a text"),
        ({"at": LATER + timedelta(days=2)}, "an attempt's instant is in the future"),
    ],
)
def test_what_cannot_be_read_is_named_without_its_value(
    fields: dict[str, Any], problem: str
) -> None:
    row, problems = send_row(send(**fields), LATER)
    assert row is not None
    assert row.status == "SENT"
    assert len(problems) == 1
    assert problems[0].startswith(problem)


_WORDS = st.text(st.sampled_from("aA1 /é"), max_size=9)
_NAMES = sorted(send(pricing=1, userId=1, error=1, readAt=1).fields)
_ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    _WORDS,
    st.dictionaries(st.sampled_from(["code", "category", "billable"]), _WORDS),
)


@given(fields=st.dictionaries(st.sampled_from(_NAMES), _ANY))
def test_whatever_is_in_it_nothing_raises_and_a_row_has_a_key(fields: dict[str, Any]) -> None:
    row, problems = send_row(send(**fields), LATER)
    assert (row is None) <= bool(problems)
    if row is not None:
        assert row.attempt >= 1
        assert row.user_id and row.cycle_key and row.campaign_type  # noqa: PT018


# One history, told in any order


def rows_of(told: Told) -> list[HistoryRow]:
    if isinstance(told, TrackedDocument):
        return history_rows(told, LATER)[0]
    row, _ = send_row(told, LATER)
    return [row] if row else []


def table_of(runs: list[list[Told]]) -> dict[Any, HistoryRow]:
    """Return message_history after runs of tracking, each with its documents."""
    table: dict[Any, HistoryRow] = {}
    for run in runs:
        news = News()
        for told in run:
            if isinstance(told, TrackedDocument):
                news.add(told, LATER)
            else:
                news.add_send(told, LATER)
        for key, row in news.rows.items():
            table[key] = merged(table[key], row) if key in table else row
    # When news came is known of the last that said more, which depends on the order.
    return {key: replace(row, updated_at=AT) for key, row in table.items()}


@settings(deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_order_repetition_and_division_of_one_history_ends_in_the_same_rows(seed: int) -> None:
    rng = random.Random(seed)
    told = History(rng).told
    expected = table_of([[document] for document in told])
    shuffled = [*told, *rng.choices(told, k=rng.randrange(4))]
    rng.shuffle(shuffled)
    cuts = sorted(rng.choices(range(len(shuffled) + 1), k=rng.randrange(4)))
    runs = [
        shuffled[first:last] for first, last in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)
    ]
    assert table_of(runs) == expected
    # Nor does it matter which states were not seen, if the last ones were.
    last_states = {
        (type(document), getattr(document, "attempt_id", "")): document for document in told
    }
    seen = [*last_states.values(), *rng.choices(told, k=2)]
    rng.shuffle(seen)
    assert table_of([seen]) == expected


@settings(deadline=None)
@given(seed=st.integers(0, 2**32))
def test_merging_does_not_depend_on_what_came_first(seed: int) -> None:
    rng = random.Random(seed)
    told = History(rng).told
    rows = [replace(row, updated_at=AT) for document in told for row in rows_of(document)]
    one, two, three = (rng.choice([row for row in rows if row.attempt == 1]) for _ in range(3))
    assert merged(one, one) == one
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))


def test_a_message_that_arrives_after_all_has_no_error_whatever_came_first() -> None:
    failed = row_of(status="FAILED", error={"code": "131026", "recoverable": False})
    arrived = row_of(status="DELIVERED", deliveredAt=AT + MINUTE)
    assert failed.error_code == "131026"
    for rows in ((failed, arrived), (arrived, failed)):
        row = merged(*rows)
        assert (row.status, row.error_code, row.recoverable) == ("DELIVERED", None, None)
