"""Receipts in message_history and opt-outs in opt_outs, over both emulators."""

from __future__ import annotations

import random
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.cloud import firestore

from loader.base.errors import RunError
from loader.base.retry import Retry
from loader.bigquery.history import merge_history
from loader.bigquery.warehouse import Warehouse
from loader.firestore.changes import ChangeReader
from loader.messages import TrackedDocument
from loader.sync.run import SyncOptions
from loader.track.news import News
from loader.track.tracking import has_news
from tests.loader.told import LATER, PRICING, History
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    NUMERIC_CNPJ,
    documents,
    history,
    put_document,
    put_send,
    put_suppression,
    sent,
)

if TYPE_CHECKING:
    from loader.services import Services
    from loader.track.tracking import TrackReport

HOUR = timedelta(hours=1)


def one(report: TrackReport) -> Any:
    [laundromat] = [item for item in report.laundromats if item.cnpj == NUMERIC_CNPJ]
    return laundromat


def opt_outs(services: Services) -> list[dict[str, Any]]:
    return services.warehouse.query(
        f"select * from `{NUMERIC_CNPJ}_CAMPAIGN`.`opt_outs` order by event_id",
        doing="reading opt-outs",
    )


@pytest.mark.parametrize("is_fleet", [False, True])
def test_a_receipt_reaches_the_history_after_the_next_cycle_took_the_document(
    laundromats: Services, *, is_fleet: bool
) -> None:
    cnpjs = None if is_fleet else [NUMERIC_CNPJ]
    put_document(laundromats, "a", **sent())
    attempt = put_send(laundromats, "attempt-1")
    laundromats.track(cnpjs, as_of=AS_OF + HOUR)
    [first] = history(laundromats)
    put_document(laundromats, "a", cycleKey="2026-12", updatedAt=AS_OF + 2 * HOUR)
    read_at = AS_OF + 9 * 24 * HOUR
    attempt.update(
        {
            "status": "READ",
            "readAt": read_at,
            "deliveredAt": read_at,
            "userId": "BR.1",
            "pricing": PRICING,
            "updatedAt": read_at,
        }
    )

    laundromats.track(cnpjs, as_of=read_at + HOUR)

    [row] = history(laundromats)
    assert row == {
        **first,
        "status": "READ",
        "delivered_at": read_at,
        "read_at": read_at,
        "whatsapp_user_id": "BR.1",
        "price_category": "MARKETING_LITE",
        "is_billable": True,
        "updated_at": read_at,
    }
    assert (row["message_content"], row["phone"]) == ("Olá!", "+5511900000001")
    quiet = laundromats.track(cnpjs, as_of=read_at + 3 * HOUR)
    assert one(quiet).statements == 0
    assert history(laundromats, ALPHANUMERIC_CNPJ) == []


def test_an_attempt_that_was_never_tracked_gets_a_row_and_its_text_when_the_target_is_seen(
    laundromats: Services,
) -> None:
    put_send(laundromats, "attempt-1", status="UNKNOWN")
    report = one(laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR))
    assert (report.documents, report.rows, report.statements) == (1, 1, 1)
    [row] = history(laundromats)
    assert (row["status"], row["message_content"], row["phone"]) == ("PENDING", None, None)
    put_document(laundromats, "a", **sent(updatedAt=AS_OF + 2 * HOUR))
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + 3 * HOUR)
    [row] = history(laundromats)
    assert (row["status"], row["message_content"]) == ("SENT", "Olá!")


def test_a_message_that_arrives_after_all_loses_its_error(laundromats: Services) -> None:
    error = {"code": "131026", "recoverable": False}
    attempt = put_send(laundromats, "attempt-1", status="FAILED", error=error)
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR)
    [failed] = history(laundromats)
    assert (failed["error_code"], failed["recoverable"]) == ("131026", False)
    arrived_at = AS_OF + 2 * HOUR
    arrived = {"status": "DELIVERED", "deliveredAt": arrived_at, "updatedAt": arrived_at}
    attempt.update({**arrived, "error": firestore.DELETE_FIELD})
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + 3 * HOUR)
    delivered = {"status": "DELIVERED", "delivered_at": arrived_at, "updated_at": arrived_at}
    settled = {**failed, **delivered, "error_code": None, "recoverable": None}
    assert history(laundromats) == [settled]
    # What the failure says once more is no news.
    again = {"status": "FAILED", "error": error, "deliveredAt": firestore.DELETE_FIELD}
    attempt.update({**again, "updatedAt": AS_OF + 4 * HOUR})
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + 5 * HOUR)
    assert history(laundromats) == [settled]


def test_an_attempt_that_names_nobody_is_counted_and_holds_nobody_back(
    laundromats: Services,
) -> None:
    put_send(laundromats, "attempt-1", customerId=7)
    put_send(laundromats, "attempt-2")
    report = laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR)
    [oddity] = one(report).oddities
    assert (oddity.campaign_type, oddity.customer_id) == ("sends", "attempt-1")
    assert report.exit_code == 3
    assert [row["user_id"] for row in history(laundromats)] == ["a"]


@pytest.mark.parametrize("seed", range(3))
def test_bigquery_merges_rows_as_the_rule_says(laundromats: Services, seed: int) -> None:
    rng = random.Random(seed)
    told = History(rng).told
    rng.shuffle(told)
    half = len(told) // 2
    whole = News()
    for run in (told[:half], told[half:]):
        news = News()
        for document in run:
            for into in (news, whole):
                if isinstance(document, TrackedDocument):
                    into.add(document, LATER)
                else:
                    into.add_send(document, LATER)
        rows = list(news.rows.values())
        if rows:
            merge_history(laundromats.warehouse, NUMERIC_CNPJ, rows, since=AS_OF)
    found = [{**row, "updated_at": AS_OF} for row in history(laundromats)]
    assert found == [
        asdict(replace(row, updated_at=AS_OF)) for _, row in sorted(whole.rows.items())
    ]


def test_an_opt_out_comes_once_and_ends_when_the_person_wants_messages_again(
    laundromats: Services,
) -> None:
    wish = put_suppression(
        laundromats,
        "wamid.1",
        keys=["phone:551190000001", "customer:a"],
        phone="+5511990000001",
        customerId="a",
    )
    for hours in (1, 2):
        report = one(laundromats.track(None, as_of=AS_OF + hours * HOUR))
    assert report.opt_outs == 0
    [row] = opt_outs(laundromats)
    expected = {
        "phone": "+5511990000001",
        "user_id": "a",
        "opted_out_at": AS_OF,
        "source": "WHATSAPP_TEXT",
        "resumed_at": None,
        "whatsapp_user_id": None,
        "event_id": "wamid.1",
    }
    assert row == expected
    resumed_at = AS_OF + 5 * HOUR
    wish.update({"resumedAt": resumed_at, "updatedAt": resumed_at})
    report = one(laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + 6 * HOUR))
    assert (report.opt_outs, report.statements) == (1, 1)
    assert opt_outs(laundromats) == [{**expected, "resumed_at": resumed_at}]
    # They opt out again, by the same list.
    wish.update({"resumedAt": firestore.DELETE_FIELD, "updatedAt": resumed_at + HOUR})
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + 7 * HOUR)
    assert opt_outs(laundromats) == [expected]


def test_an_opt_out_that_names_nobody_is_a_row_that_somebody_can_complete(
    laundromats: Services,
) -> None:
    put_suppression(laundromats, "wamid.1", keys="phone", optedOutAt="at noon")
    report = laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR)
    [oddity] = one(report).oddities
    assert (oddity.campaign_type, oddity.customer_id) == ("suppressions", "")
    assert "wamid" not in oddity.reason
    assert report.exit_code == 3
    [row] = opt_outs(laundromats)
    assert (row["phone"], row["user_id"], row["whatsapp_user_id"]) == (None, None, None)
    laundromats.warehouse.query(
        f"update `{NUMERIC_CNPJ}_CAMPAIGN`.`opt_outs` set user_id = 'a' where user_id is null",
        doing="completing a row",
    )
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + 2 * HOUR, is_full=True)
    assert [row["user_id"] for row in opt_outs(laundromats)] == ["a"]


def test_no_phone_of_an_opt_out_is_in_the_parameters_of_a_job(
    laundromats: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    query = Warehouse.query

    def noted(self: Warehouse, sql: str, **options: Any) -> Any:
        asked.append((sql, options))
        return query(self, sql, **options)

    monkeypatch.setattr(Warehouse, "query", noted)
    put_suppression(laundromats, "wamid.1", keys=["phone:551190000001"])
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR)
    assert asked
    assert not any("551190000001" in repr(call) for call in asked)


@pytest.mark.parametrize("put", [put_document, put_send, put_suppression])
def test_a_laundromat_has_news_when_any_of_its_documents_changed(
    laundromats: Services, put: Any
) -> None:
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF)
    entry = laundromats.registry.entry(NUMERIC_CNPJ)
    reader = ChangeReader(laundromats.database, Retry())
    assert not has_news(reader, entry)
    put(laundromats, "a", cnpj=ALPHANUMERIC_CNPJ, updatedAt=AS_OF)
    assert not has_news(reader, entry)
    put(laundromats, "a", updatedAt=AS_OF)
    assert has_news(reader, entry)


def test_sync_withdraws_who_opted_out_since_the_last_tracking_before_any_build(
    laundromats: Services,
) -> None:
    for number in (1, 2):
        put_document(laundromats, f"c{number}", phone=f"+551199000000{number}")
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF)
    put_suppression(laundromats, "old", keys=["customer:c2"], updatedAt=AS_OF - 72 * HOUR)
    # As WhatsApp often has it: without the ninth digit.
    put_suppression(laundromats, "new", keys=["phone:551190000001"], updatedAt=AS_OF - HOUR)
    laundromat = laundromats.laundromat(NUMERIC_CNPJ)
    with pytest.raises(RunError, match="never been published"):
        laundromats.sync(laundromat, as_of=AS_OF, options=SyncOptions())
    assert set(documents(laundromats.environment, NUMERIC_CNPJ)) == {("REACTIVATION", "c2")}
