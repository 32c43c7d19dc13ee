"""What a target document says of its messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.messages import HistoryRow, TrackedDocument, Watermark, history_rows

CREATED = datetime(2026, 11, 23, 13, tzinfo=UTC)
SENT = CREATED + timedelta(minutes=10)
WRITTEN = CREATED + timedelta(minutes=11)


def document(**fields: Any) -> TrackedDocument:
    content = {
        "cycleKey": "2026-11",
        "status": "PENDING",
        "attempts": 0,
        "phone": "+5511900000001",
        "data": {"message": "Olá, Ana!", "template_variant": "STAGE_1", "voucher_code": "VOLTA7"},
        "createdAt": CREATED,
        "updatedAt": WRITTEN,
        **fields,
    }
    return TrackedDocument("11222333000181", "REACTIVATION", "a", WRITTEN, content)


def log(*statuses: str) -> list[dict[str, Any]]:
    return [
        {
            "attempt": number,
            "at": SENT + timedelta(hours=number - 1),
            "status": status,
            "messageId": f"m{number}",
            **({"error": {"code": "131026", "recoverable": True}} if status == "FAILED" else {}),
        }
        for number, status in enumerate(statuses, 1)
    ]


def statuses(tracked: TrackedDocument) -> list[tuple[int, str]]:
    return [(row.attempt, row.status) for row in history_rows(tracked)]


def test_a_document_that_waits_for_its_first_message_gives_no_row() -> None:
    assert history_rows(document()) == []
    assert history_rows(document(claimedUntil=SENT)) == []


def test_a_delivered_message_is_one_complete_row() -> None:
    delivered = SENT + timedelta(seconds=5)
    [row] = history_rows(
        document(status="DELIVERED", attempts=1, attemptLog=log("SENT"), deliveredAt=delivered)
    )
    assert row == HistoryRow(
        user_id="a",
        campaign_type="REACTIVATION",
        cycle_key="2026-11",
        attempt=1,
        sent_at=SENT,
        status="DELIVERED",
        message_content="Olá, Ana!",
        phone="+5511900000001",
        message_id="m1",
        error_code=None,
        recoverable=None,
        delivered_at=delivered,
        read_at=None,
        replied_at=None,
        updated_at=WRITTEN,
        template_variant="STAGE_1",
        voucher_code="VOLTA7",
    )


def test_each_attempt_is_a_row_and_receipts_belong_to_the_newest() -> None:
    rows = history_rows(
        document(
            status="DELIVERED",
            attempts=2,
            attemptLog=log("FAILED", "SENT"),
            deliveredAt=SENT,
            readAt=SENT,
            repliedAt=SENT,
        )
    )
    assert [(row.attempt, row.status, row.error_code, row.read_at) for row in rows] == [
        (1, "FAILED", "131026", None),
        (2, "READ", None, SENT),
    ]
    assert [row.replied_at for row in rows] == [None, SENT]


def test_a_message_that_was_queued_again_keeps_its_failed_attempt() -> None:
    again = document(status="PENDING", attempts=1, attemptLog=log("FAILED"))
    assert statuses(again) == [(1, "FAILED")]


def test_the_documents_last_error_fills_in_for_a_log_without_one() -> None:
    [row] = history_rows(
        document(
            status="FAILED",
            attempts=1,
            attemptLog=[{"attempt": 1, "at": SENT, "status": "FAILED"}],
            lastError={"code": 131047, "message": "text", "recoverable": False},
        )
    )
    assert (row.error_code, row.recoverable) == ("131047", False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"status": "SENT", "attempts": 1}, [(1, "SENT")]),
        ({"status": "SENT", "attempts": 0}, [(1, "SENT")]),
        ({"status": "DELIVERED", "attempts": 2}, [(2, "DELIVERED")]),
        ({"status": "FAILED", "attempts": 1}, [(1, "FAILED")]),
        ({"status": "PENDING", "attempts": 1}, [(1, "FAILED")]),
        ({"status": "SENT", "attempts": 1, "deliveredAt": SENT}, [(1, "DELIVERED")]),
        ({"status": " sent ", "attempts": 1}, [(1, "SENT")]),
        # Nobody knows this status, and whoever might have got the message counts as having it.
        ({"status": "ENTREGUE", "attempts": 1}, [(1, "ENTREGUE")]),
        ({"status": None, "attempts": 1}, [(1, "SENT")]),
    ],
)
def test_a_sender_that_keeps_no_log_gives_one_row_at_the_documents_own_time(
    fields: dict[str, Any], expected: list[tuple[int, str]]
) -> None:
    tracked = document(**fields)
    assert statuses(tracked) == expected
    assert {row.sent_at for row in history_rows(tracked)} == {WRITTEN}


def test_a_sent_document_without_a_cycle_is_an_oddity() -> None:
    with pytest.raises(ValueError, match="no cycleKey"):
        history_rows(document(status="SENT", attempts=1, cycleKey=None))


_ANYTHING: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, 0, 1, -3, 10**20, 1.5, float("nan"), float("inf")),
        *("", " ", "SENT", "pending", "FAILED", "x", SENT),
        *([], [None], [{}], {}, {"code": 1}, {"recoverable": "no"}, {"message": 7}),
    ]
)
_FIELDS = ("status", "attempts", "attemptLog", "data", "phone", "lastError", "messageId", "readAt")


@given(
    fields=st.dictionaries(st.sampled_from(_FIELDS), _ANYTHING),
    entries=st.lists(
        st.dictionaries(
            st.sampled_from(["attempt", "at", "status", "error", "messageId"]), _ANYTHING
        ),
        max_size=3,
    ),
)
def test_whatever_a_sender_writes_every_attempt_has_a_number_a_time_and_a_status(
    fields: dict[str, Any], entries: list[dict[str, Any]]
) -> None:
    for content in (fields, {**fields, "attemptLog": entries}):
        for row in history_rows(document(**content)):
            assert row.attempt >= 1
            assert row.status
            assert isinstance(row.sent_at, datetime)


@pytest.mark.parametrize(
    ("watermark", "keeps_log", "expected"),
    [
        (Watermark(), True, False),
        (Watermark(until=WRITTEN), True, True),
        (Watermark(until=WRITTEN - timedelta(seconds=1)), True, False),
        (Watermark(until=WRITTEN), False, False),
        (Watermark(full_at=WRITTEN), False, True),
        (Watermark(until=WRITTEN, full_at=WRITTEN - timedelta(seconds=1)), False, False),
    ],
)
def test_a_watermark_covers_what_it_can_know_of(
    watermark: Watermark, *, keeps_log: bool, expected: bool
) -> None:
    assert watermark.covers(WRITTEN, WRITTEN, keeps_log=keeps_log) == expected
    assert not Watermark(until=WRITTEN).covers(WRITTEN, None, keeps_log=True)
