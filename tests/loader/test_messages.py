"""What a target document says of its messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.base.fields import MAX_COUNT
from loader.messages import OVERLAP, HistoryRow, TrackedDocument, Watermark
from loader.messages import history_rows as read_rows

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


def history_rows(tracked: TrackedDocument) -> list[HistoryRow]:
    return read_rows(tracked, WRITTEN)[0]


def problems(**fields: Any) -> list[str]:
    return read_rows(document(**fields), WRITTEN)[1]


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


def test_receipts_of_an_earlier_message_that_arrived_late_are_not_the_newest_attempts() -> None:
    entries = log("FAILED", "FAILED")
    del entries[1]["messageId"]
    late = document(
        status="DELIVERED",
        attempts=1,
        messageId="m1",
        attemptLog=[entries[0] | {"status": "READ"}, entries[1]],
        deliveredAt=SENT,
        readAt=SENT,
    )
    found = [(row.status, row.message_id, row.delivered_at) for row in history_rows(late)]
    assert found == [("READ", "m1", SENT), ("FAILED", None, None)]


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
        # An unknown status: in doubt, the customer counts as having got the message.
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
    rows, [problem] = read_rows(document(status="SENT", attempts=1, cycleKey=None), WRITTEN)
    assert rows == []
    assert problem.startswith("no cycleKey")


# What other senders write


def test_attempts_that_are_counted_from_zero_are_two_rows() -> None:
    entries = [{**entry, "attempt": entry["attempt"] - 1} for entry in log("FAILED", "SENT")]
    tracked = document(status="SENT", attempts=2, attemptLog=entries)
    assert statuses(tracked) == [(1, "FAILED"), (2, "SENT")]


def test_two_attempts_of_one_number_are_two_rows_by_their_place_and_an_oddity() -> None:
    entries = [{**entry, "attempt": 1} for entry in log("FAILED", "SENT")]
    rows, told = read_rows(document(status="SENT", attempts=2, attemptLog=entries), WRITTEN)
    assert [(row.attempt, row.status) for row in rows] == [(1, "FAILED"), (2, "SENT")]
    assert told == ["attemptLog has two entries of one number"]


@pytest.mark.parametrize(
    "at", ["2026-11-23T13:10:00Z", "2026-11-23T10:10:00-03:00", 1795439400, 1795439400000.0]
)
def test_an_instant_that_is_unmistakable_is_read_in_any_form(at: Any) -> None:
    entries = [{"attempt": 1, "at": at, "status": "SENT"}]
    [row] = history_rows(document(status="SENT", attempts=1, attemptLog=entries, updatedAt=at))
    assert (row.sent_at, row.updated_at) == (SENT, SENT)


@pytest.mark.parametrize("at", [datetime(1, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC), 7])
def test_an_attempt_whose_instant_cannot_be_is_at_the_documents_last_write(at: Any) -> None:
    entries = [{"attempt": 1, "at": at, "status": "SENT"}]
    rows, told = read_rows(document(status="SENT", attempts=1, attemptLog=entries), WRITTEN)
    assert [row.sent_at for row in rows] == [WRITTEN]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("recoverable", "expected"), [("false", False), ("no", False), (0, False), ("true", True)]
)
def test_an_error_that_may_not_be_recoverable_is_not(recoverable: Any, *, expected: bool) -> None:
    error = {"code": 131026.0, "recoverable": recoverable}
    [row] = history_rows(document(status="FAILED", attempts=1, lastError=error))
    assert (row.error_code, row.recoverable) == ("131026", expected)


def test_free_text_of_a_sender_is_neither_a_code_nor_a_status() -> None:
    error = {"code": "number 11 90000-0001 of Ana is not on WhatsApp"}
    rows, told = read_rows(document(status="FAILED", attempts=1, lastError=error), WRITTEN)
    assert [row.error_code for row in rows] == [None]
    assert told == ["lastError.code is a text that is not a code"]
    rows, told = read_rows(document(status="sent to Ana!", attempts=1), WRITTEN)
    assert [row.status for row in rows] == ["UNKNOWN"]
    assert told == ["status is not one word of letters"]


def test_a_document_of_a_megabyte_gives_one_short_row() -> None:
    entries = [{"attempt": number, "at": SENT, "status": "SENT"} for number in range(2000)]
    data = {"message": "x" * 1_000_000}
    rows, told = read_rows(
        document(status="SENT", attempts=1, attemptLog=entries, data=data), WRITTEN
    )
    assert [(row.attempt, row.message_content) for row in rows] == [(1, None)]
    assert told == [
        "attemptLog is a list of more than 100 entries",
        "data.message is a text of more than 4096 characters",
    ]


_KEYS = st.sampled_from(
    ["attempt", "at", "status", "error", "messageId", "code", "recoverable", "message", "seconds"]
)
_SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=20),
    st.datetimes(timezones=st.just(UTC)),
    st.sampled_from(["SENT", "pending", "FAILED", "3", "false", "2026-11-23T13:10:00Z", 1e300]),
)
_ANYTHING: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=8,
)
_FIELDS = (
    *("status", "attempts", "attemptLog", "data", "phone", "lastError", "messageId", "cycleKey"),
    *("readAt", "deliveredAt", "repliedAt", "createdAt", "updatedAt"),
)


@given(
    fields=st.dictionaries(st.sampled_from(_FIELDS), _ANYTHING),
    entries=st.lists(st.dictionaries(_KEYS, _ANYTHING), max_size=3),
)
def test_whatever_is_in_a_document_every_attempt_is_a_row_that_bigquery_takes(
    fields: dict[str, Any], entries: list[dict[str, Any]]
) -> None:
    for content in (fields, {**fields, "attemptLog": entries}):
        rows = history_rows(document(**content))
        assert len({row.key for row in rows}) == len(rows)
        for row in rows:
            assert 1 <= row.attempt <= MAX_COUNT + 1
            assert row.status
            for instant in (row.sent_at, row.updated_at, row.delivered_at, row.read_at):
                assert instant is None or 2000 <= instant.year <= 2099
            assert row.sent_at <= WRITTEN + timedelta(days=1)
        is_of_entries = content.get("attemptLog") is entries
        if is_of_entries and entries and content.get("cycleKey", "x") and len(rows):
            assert len(rows) in {1, len(entries)}


@given(value=_ANYTHING)
def test_a_problem_never_quotes_a_value(value: Any) -> None:
    marked = {"at": value, "status": f"secret{value!r}"}
    for phrase in problems(status="SENT", attempts=1, attemptLog=[marked], lastError=value):
        assert "secret" not in phrase


@pytest.mark.parametrize(
    ("watermark", "keeps_log", "expected"),
    [
        (Watermark(), True, False),
        (Watermark(until=WRITTEN + OVERLAP), True, True),
        # A clock that is behind the run's may have written it after the run has read.
        (Watermark(until=WRITTEN + OVERLAP - timedelta(seconds=1)), True, False),
        (Watermark(until=WRITTEN + OVERLAP), False, False),
        (Watermark(full_at=WRITTEN), False, True),
        (Watermark(until=WRITTEN, full_at=WRITTEN - timedelta(seconds=1)), False, False),
    ],
)
def test_a_watermark_covers_what_it_can_know_of(
    watermark: Watermark, *, keeps_log: bool, expected: bool
) -> None:
    assert watermark.covers(WRITTEN, WRITTEN, keeps_log=keeps_log) == expected
    assert not Watermark(until=WRITTEN + OVERLAP).covers(WRITTEN, None, keeps_log=True)
