"""Firestore's outcomes in message_history: each is written once, whatever happens."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.cloud import firestore

from loader.base.cnpj import with_check_digits
from loader.base.errors import ServiceError
from loader.bigquery.warehouse import Warehouse
from loader.operations.onboard import onboard
from loader.sync.model import Outcome
from loader.sync.run import SyncOptions
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    FIRST_BUILD,
    HOURLY_BUILD,
    NUMERIC_CNPJ,
    documents,
    history,
    make_laundromat,
    official_client,
    put_document,
    sent,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loader.base.cnpj import Cnpj
    from loader.services import Services
    from loader.track.tracking import TrackReport

HOUR = timedelta(hours=1)


def one(report: TrackReport, cnpj: Cnpj = NUMERIC_CNPJ) -> Any:
    [laundromat] = [item for item in report.laundromats if item.cnpj == cnpj]
    return laundromat


def test_a_message_moves_forward_and_late_or_repeated_news_change_nothing(
    laundromats: Services,
) -> None:
    reference = put_document(laundromats, "a", **sent())
    report = laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR)
    assert (one(report).documents, one(report).rows, one(report).statements) == (1, 1, 1)
    [first] = history(laundromats)
    assert (first["status"], first["sent_at"], first["message_content"]) == ("SENT", AS_OF, "Olá!")

    delivered_at = AS_OF + HOUR
    reference.update(
        {
            "status": "DELIVERED",
            "deliveredAt": delivered_at,
            "updatedAt": delivered_at,
            "data.message": "A text of another hour",
        }
    )
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + 2 * HOUR)
    [second] = history(laundromats)
    assert second == {
        **first,
        "status": "DELIVERED",
        "delivered_at": delivered_at,
        "updated_at": delivered_at,
    }

    # A sender that lost its state repeats its first report.
    reference.update({**sent(at=AS_OF + 3 * HOUR), "deliveredAt": firestore.DELETE_FIELD})
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + 4 * HOUR)
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + 4 * HOUR, is_full=True)
    assert history(laundromats) == [second]


def test_a_receipt_shows_that_a_failed_message_arrived(laundromats: Services) -> None:
    reference = put_document(laundromats, "a", **sent("FAILED"))
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR)
    assert [row["status"] for row in history(laundromats)] == ["FAILED"]
    reference.update(sent("DELIVERED", at=AS_OF + HOUR))
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + 2 * HOUR)
    assert [row["status"] for row in history(laundromats)] == ["DELIVERED"]


def test_one_query_serves_the_fleet_and_reads_only_what_changed(laundromats: Services) -> None:
    laundromats.track(None, as_of=AS_OF)
    put_document(laundromats, "old", updatedAt=AS_OF - 2 * HOUR)
    put_document(laundromats, "a", **sent())
    put_document(laundromats, "b", cnpj=ALPHANUMERIC_CNPJ, **sent())

    report = laundromats.track(None, as_of=AS_OF + HOUR)

    assert report.documents_read == 2
    assert [(item.cnpj, item.rows, item.statements) for item in report.laundromats] == [
        (NUMERIC_CNPJ, 1, 1),
        (ALPHANUMERIC_CNPJ, 1, 1),
    ]
    assert [row["user_id"] for row in history(laundromats)] == ["a"]
    assert [row["user_id"] for row in history(laundromats, ALPHANUMERIC_CNPJ)] == ["b"]
    quiet = laundromats.track(None, as_of=AS_OF + 2 * HOUR)
    assert quiet.documents_read == 0
    assert all(item.statements == 0 for item in quiet.laundromats)


def test_only_a_full_reading_finds_what_a_sender_did_without_saying_when(
    laundromats: Services,
) -> None:
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF)
    reference = put_document(laundromats, "a", updatedAt=AS_OF - 2 * HOUR)
    reference.update({"status": "SENT", "attempts": 1})

    assert one(laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR)).rows == 0
    assert one(laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR, is_full=True)).rows == 1

    written = reference.get().update_time
    [row] = history(laundromats)
    assert (row["status"], row["attempt"], row["sent_at"]) == ("SENT", 1, written)
    reference.update({"status": "DELIVERED"})
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + 2 * HOUR, is_full=True)
    assert [(item["status"], item["sent_at"]) for item in history(laundromats)] == [
        ("DELIVERED", written)
    ]


def test_a_document_without_a_cycle_is_named_and_the_others_are_written(
    laundromats: Services,
) -> None:
    put_document(laundromats, "a", **sent())
    put_document(laundromats, "odd", **sent(cycleKey=None))
    report = laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR)
    [oddity] = one(report).oddities
    assert (oddity.campaign_type, oddity.customer_id) == ("REACTIVATION", "odd")
    assert report.exit_code == 3
    assert [row["user_id"] for row in history(laundromats)] == ["a"]


class FailingWarehouse(Warehouse):
    """A BigQuery that fails for one laundromat, or after it has done the work."""

    failing: Cnpj | None = None
    is_done_first = False

    def query(
        self,
        sql: str,
        *,
        doing: str,
        parameters: Mapping[str, str | Sequence[str]] | None = None,
    ) -> list[dict[str, Any]]:
        is_hit = self.failing is not None and f"`{self.failing}_CAMPAIGN`" in sql
        rows = (
            super().query(sql, doing=doing, parameters=parameters)
            if self.is_done_first or not is_hit
            else []
        )
        if is_hit:
            message = f"{doing}: the connection was lost"
            raise ServiceError(message, is_transient=True)
        return rows


@pytest.mark.parametrize("is_done_first", [False, True])
def test_a_laundromat_that_fails_is_tracked_from_its_own_watermark_and_delays_no_other(
    laundromats: Services, *, is_done_first: bool
) -> None:
    laundromats.track(None, as_of=AS_OF)
    put_document(laundromats, "a", **sent())
    put_document(laundromats, "b", cnpj=ALPHANUMERIC_CNPJ, **sent())
    broken = replace(laundromats)
    warehouse = FailingWarehouse(laundromats.environment)
    warehouse.failing, warehouse.is_done_first = NUMERIC_CNPJ, is_done_first
    broken.__dict__["warehouse"] = warehouse

    report = broken.track(None, as_of=AS_OF + HOUR)

    assert report.exit_code == 3
    assert "connection was lost" in one(report).error
    assert len(history(laundromats)) == int(is_done_first)
    assert len(history(laundromats, ALPHANUMERIC_CNPJ)) == 1
    entries, _, _ = laundromats.registry.fleet()
    assert [entry.watermark.until for entry in entries] == [AS_OF, AS_OF + HOUR]

    # It is ten hours behind the other, so it is read alone.
    laundromats.track([ALPHANUMERIC_CNPJ], as_of=AS_OF + 10 * HOUR)
    fixed = laundromats.track(None, as_of=AS_OF + 10 * HOUR)
    assert fixed.exit_code == 0
    assert [row["status"] for row in history(laundromats)] == ["SENT"]
    assert len(history(laundromats, ALPHANUMERIC_CNPJ)) == 1


def test_rows_of_an_older_system_stay_beside_those_that_are_tracked(services: Services) -> None:
    services.warehouse.create_dataset(f"{NUMERIC_CNPJ}_CAMPAIGN", description="An older system's.")
    [declared] = [
        table for table in services.project.owned_tables() if table.name == "message_history"
    ]
    old = replace(declared, columns=declared.columns[:6])
    services.warehouse.create_table(old, NUMERIC_CNPJ)
    row = {
        "user_id": "a",
        "campaign_type": "REACTIVATION",
        "sent_at": (AS_OF - HOUR).isoformat(),
        "status": "SENT",
        "message_content": "Antiga",
        "phone": "11900000001",
    }
    services.warehouse.append(old, NUMERIC_CNPJ, [row])
    onboard(
        services.project,
        services.warehouse,
        services.registry,
        cnpj=NUMERIC_CNPJ,
        name="Lavanderia Antiga",
        timezone=None,
        audit=services.new_audit_log("test"),
    )
    put_document(services, "a", **sent())
    services.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR)
    assert [
        (item["message_content"], item["attempt"], item["cycle_key"]) for item in history(services)
    ] == [("Antiga", None, None), ("Olá!", 1, "2026-11")]


def test_sync_replaces_a_message_of_an_older_cycle_only_once_it_is_recorded(
    services: Services,
) -> None:
    make_laundromat(
        services,
        NUMERIC_CNPJ,
        clientes=[
            {
                "id": "a",
                "nome": "Ana Exemplo",
                "dataNascimento": "1990-11-23T00:00:00Z",
                "telefone": "11900000001",
                "dataCadastro": "2025-01-10T12:00:00Z",
            }
        ],
    )
    services.build(services.laundromat(NUMERIC_CNPJ), as_of=AS_OF, arguments=FIRST_BUILD)
    services.sync(services.laundromat(NUMERIC_CNPJ), as_of=AS_OF, options=SyncOptions())
    place = f"users/{NUMERIC_CNPJ}/campaigns/BIRTHDAY/targets/a"
    reference = official_client(services.environment).document(place)
    reference.update(sent())
    next_year = AS_OF.replace(year=2027)

    services.build(services.laundromat(NUMERIC_CNPJ), as_of=next_year, arguments=HOURLY_BUILD)
    waiting = services.sync(
        services.laundromat(NUMERIC_CNPJ), as_of=next_year, options=SyncOptions()
    )
    assert (waiting.total(Outcome.IN_FLIGHT), waiting.untracked) == (1, 1)
    assert documents(services.environment, NUMERIC_CNPJ)["BIRTHDAY", "a"]["status"] == "SENT"

    services.track([NUMERIC_CNPJ], as_of=next_year)
    replaced = services.sync(
        services.laundromat(NUMERIC_CNPJ), as_of=next_year, options=SyncOptions()
    )
    assert (replaced.total(Outcome.REPLACED), replaced.untracked) == (1, 0)
    document = documents(services.environment, NUMERIC_CNPJ)["BIRTHDAY", "a"]
    assert (document["status"], document["cycleKey"]) == ("PENDING", "2027")
    assert [row["cycle_key"] for row in history(services)] == ["2026"]


# What other senders and programs write


@pytest.mark.parametrize("updated_at", ["2026-11-23T13:05:00Z", 1795439100, "just now"])
def test_a_message_whose_document_says_its_change_in_another_type_is_recorded(
    laundromats: Services, updated_at: Any
) -> None:
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF)
    put_document(laundromats, "a", **{**sent(), "updatedAt": updated_at})
    report = one(laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR))
    assert [row["user_id"] for row in history(laundromats)] == ["a"]
    assert bool(report.oddities) == (updated_at == "just now")


@pytest.mark.parametrize(
    "odd",
    [
        {"attempts": 1e300},
        {"attemptLog": [{"attempt": 10**18, "at": AS_OF, "status": "SENT"}]},
        {"attemptLog": [{"attempt": 1, "at": AS_OF.replace(year=1), "status": "SENT"}]},
        {"createdAt": AS_OF.replace(year=1), "readAt": "yesterday"},
    ],
    ids=repr,
)
def test_one_odd_document_is_named_and_the_laundromat_is_tracked(
    laundromats: Services, odd: dict[str, Any]
) -> None:
    put_document(laundromats, "odd", **{**sent(), **odd})
    put_document(laundromats, "b", **sent())
    report = one(laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR))
    assert report.error == ""
    assert [row["user_id"] for row in history(laundromats)] == ["b", "odd"]
    entry = laundromats.registry.entry(NUMERIC_CNPJ)
    assert entry.watermark.until == AS_OF + HOUR


@pytest.mark.parametrize("mark", ["text", AS_OF.replace(year=1), AS_OF.replace(year=9999)])
def test_a_watermark_that_cannot_be_hides_no_message_and_delays_nobody(
    laundromats: Services, mark: Any
) -> None:
    client = official_client(laundromats.environment)
    client.document("users", NUMERIC_CNPJ).update({"trackedUntil": mark})
    put_document(laundromats, "a", **sent())
    report = laundromats.track(None, as_of=AS_OF + HOUR)
    assert [item.error for item in report.laundromats] == ["", ""]
    assert [row["user_id"] for row in history(laundromats)] == ["a"]


def test_one_that_is_not_registered_does_not_keep_the_others_from_being_tracked(
    laundromats: Services,
) -> None:
    put_document(laundromats, "a", **sent())
    unknown = with_check_digits("987654320001")
    report = laundromats.track([unknown, NUMERIC_CNPJ], as_of=AS_OF + HOUR)
    assert "is not registered" in one(report, unknown).error
    assert [row["user_id"] for row in history(laundromats)] == ["a"]


def test_no_text_or_phone_of_a_message_is_in_the_parameters_of_a_job(
    laundromats: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    query = Warehouse.query

    def noted(self: Warehouse, sql: str, **options: Any) -> Any:
        asked.append((sql, options))
        return query(self, sql, **options)

    monkeypatch.setattr(Warehouse, "query", noted)
    put_document(laundromats, "a", **sent())
    laundromats.track([NUMERIC_CNPJ], as_of=AS_OF + HOUR)
    assert asked
    assert not any("Olá!" in repr(call) or "+5511" in repr(call) for call in asked)
