"""What a build publishes; a broken build publishes nothing."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from loader.base.errors import RunError
from loader.dbt.build import BuildError
from loader.sync.model import Outcome
from loader.sync.run import SyncOptions
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    FIRST_BUILD,
    HOURLY_BUILD,
    NUMERIC_CNPJ,
    change_settings,
    decisions,
    documents,
    make_laundromat,
    targets,
)

if TYPE_CHECKING:
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.services import Services

CNPJ = ALPHANUMERIC_CNPJ


def birthday_customer(customer_id: str, phone: str, **columns: Any) -> dict[str, Any]:
    return {
        "id": customer_id,
        "nome": "Ana Exemplo",
        "dataNascimento": "1990-11-23T00:00:00Z",
        "telefone": phone,
        "dataCadastro": "2025-01-10T12:00:00Z",
        **columns,
    }


def published(services: Services) -> list[tuple[str, datetime]]:
    return sorted((row.customer_id, row.built_at) for row in targets(services, CNPJ))


def test_a_failing_gate_leaves_the_targets_as_they_were_and_sync_refuses_them_as_stale(
    services: Services,
) -> None:
    make_laundromat(services, CNPJ, clientes=[birthday_customer("a", "11900000001")])
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=FIRST_BUILD)
    services.warehouse.append(
        next(table for table in services.project.source_tables() if table.name == "clientes"),
        CNPJ,
        [birthday_customer("b", "11900000002")],
    )
    # Somebody emptied the texts: candidates without a message must never be published.
    services.warehouse.query(
        f"delete from `{CNPJ}_CAMPAIGN`.`message_templates` where true", doing="breaking the texts"
    )

    later = AS_OF + timedelta(hours=3)
    with pytest.raises(BuildError, match="assert_nobody_is_messaged_twice"):
        services.build(services.laundromat(CNPJ), as_of=later, arguments=HOURLY_BUILD)

    assert set(decisions(services, CNPJ)) == {("BIRTHDAY", "a"), ("BIRTHDAY", "b")}
    assert published(services) == [("a", AS_OF)]
    with pytest.raises(RunError, match="stale"):
        services.sync(services.laundromat(CNPJ), as_of=later, options=SyncOptions())
    assert documents(services.environment, CNPJ) == {}


def test_an_empty_publication_is_known_to_be_fresh_and_withdraws(services: Services) -> None:
    make_laundromat(services, CNPJ, clientes=[birthday_customer("a", "11900000001")])
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=FIRST_BUILD)
    services.sync(services.laundromat(CNPJ), as_of=AS_OF, options=SyncOptions())
    assert set(documents(services.environment, CNPJ)) == {("BIRTHDAY", "a")}

    tomorrow = AS_OF + timedelta(days=1)
    services.build(services.laundromat(CNPJ), as_of=tomorrow, arguments=HOURLY_BUILD)
    report = services.sync(services.laundromat(CNPJ), as_of=tomorrow, options=SyncOptions())

    assert published(services) == []
    assert report.built_at == tomorrow
    assert report.total(Outcome.WITHDRAWN) == 1
    assert documents(services.environment, CNPJ) == {}


def test_decisions_from_another_builds_facts_are_not_synced(services: Services) -> None:
    make_laundromat(services, CNPJ, clientes=[birthday_customer("a", "11900000001")])
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=FIRST_BUILD)
    # A killed build can go on in BigQuery: its facts then arrive between the steps of this one.
    later = AS_OF + timedelta(minutes=10)
    published = ["--select", "campaign_decisions", "campaign_targets", "target_publication"]
    services.build(services.laundromat(CNPJ), as_of=later, arguments=published)

    with pytest.raises(RunError, match="is not what was last published"):
        services.sync(services.laundromat(CNPJ), as_of=later, options=SyncOptions())
    assert documents(services.environment, CNPJ) == {}


def test_a_second_run_of_the_same_hour_changes_nothing(services: Services) -> None:
    make_laundromat(services, CNPJ, clientes=[birthday_customer("a", "11900000001")])
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=FIRST_BUILD)
    services.sync(services.laundromat(CNPJ), as_of=AS_OF, options=SyncOptions())
    before = documents(services.environment, CNPJ)

    again = services.sync(
        services.laundromat(CNPJ), as_of=AS_OF + timedelta(minutes=5), options=SyncOptions()
    )

    assert again.total(Outcome.UNCHANGED) == 1
    assert documents(services.environment, CNPJ) == before


def test_the_business_day_decides_about_a_registration_late_in_the_evening(
    services: Services,
) -> None:
    # 22:30 in São Paulo on the 22nd is 01:30 UTC on the 23rd: welcomed on the 23rd, the day
    # after. 23:30 in Manaus on the 22nd is 03:30 UTC; in São Paulo that is the 23rd already.
    registrations = {
        "22:30 local": "2026-11-23T01:30:00Z",
        "00:30 local": "2026-11-23T03:30:00Z",
        "the evening before": "2026-11-22T01:30:00Z",
    }
    make_laundromat(
        services,
        CNPJ,
        clientes=[
            {
                "id": customer_id,
                "nome": "Bia Exemplo",
                "telefone": f"119000000{number:02d}",
                "dataCadastro": registered_at,
            }
            for number, (customer_id, registered_at) in enumerate(registrations.items())
        ],
    )
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=FIRST_BUILD)
    assert set(decisions(services, CNPJ)) == {("WELCOME", "22:30 local")}


def test_each_way_to_have_been_messaged_blocks_and_nothing_else_does(services: Services) -> None:
    """The dedup rules on built tables: which customers are messaged again, and which are not."""
    in_cycle, cycle = "2026-11-20T12:00:00Z", {"cycle_key": "2026", "attempt": 1}
    failure = {"status": "FAILED", "sent_at": in_cycle, **cycle}
    history: dict[str, dict[str, Any]] = {
        "sent": {"status": "SENT", "sent_at": in_cycle, **cycle},
        "old system": {"status": "delivered", "sent_at": "2026-02-01T12:00:00Z"},
        "odd status": {"status": "QUEUED?", "sent_at": in_cycle},
        "no status": {"sent_at": in_cycle},
        "failed": {**failure, "recoverable": True},
        "failed for good": {**failure, "recoverable": False},
        "last year": {"status": "SENT", "sent_at": "2025-11-23T12:00:00Z"},
        # 31 December 23:30 in São Paulo is 1 January in UTC, and still last year's cycle.
        "new year": {"status": "SENT", "sent_at": "2026-01-01T02:30:00Z"},
        "family": {"user_id": "x", "phone": "11900000009", "status": "SENT", "sent_at": in_cycle},
        "future": {"status": "SENT", "sent_at": "2026-11-23T13:00:01Z"},
    }
    make_laundromat(
        services,
        CNPJ,
        clientes=[
            birthday_customer(customer_id, f"119000000{number:02d}")
            for number, customer_id in enumerate(history, start=1)
        ],
        message_history=[
            {"campaign_type": "BIRTHDAY", "user_id": customer_id, **row}
            for customer_id, row in history.items()
        ],
    )
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=FIRST_BUILD)
    blockers = {
        customer_id: list(row["blockers"])
        for (_, customer_id), row in decisions(services, CNPJ).items()
    }
    assert blockers == {
        "sent": ["ALREADY_MESSAGED"],
        "old system": ["ALREADY_MESSAGED"],
        "odd status": ["ALREADY_MESSAGED"],
        "no status": ["ALREADY_MESSAGED"],
        "failed": [],
        "failed for good": ["ATTEMPTS_EXHAUSTED"],
        "last year": [],
        "new year": [],
        "family": [],
        "future": [],
    }


def test_names_survive_and_placeholders_in_them_are_not_filled(services: Services) -> None:
    name = '{days_inactive} "D\'Ávila" 🌻\nde\\Souza'
    make_laundromat(services, CNPJ, clientes=[birthday_customer("a", "11900000001", nome=name)])
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=FIRST_BUILD)
    services.sync(services.laundromat(CNPJ), as_of=AS_OF, options=SyncOptions())
    document = documents(services.environment, CNPJ)["BIRTHDAY", "a"]
    assert document["name"] == name
    assert "{Days_Inactive}" in document["data"]["message"]
    assert document["data"]["template"] == {
        "name": "vmhub_aniversario_v1",
        "language": "pt_BR",
        "parameters": [{"parameter_name": "first_name", "text": "{Days_Inactive}"}],
    }


def test_voucher_codes_stay_the_same_and_follow_from_a_secret_of_the_laundromat(
    services: Services,
) -> None:
    codes = {}
    for cnpj in (CNPJ, NUMERIC_CNPJ):
        make_laundromat(services, cnpj, clientes=[birthday_customer("a", "11900000001")])
        change_settings(services, cnpj, birthday_voucher_prefix="NIVER")
        laundromat = services.laundromat(cnpj)
        services.build(laundromat, as_of=AS_OF, arguments=FIRST_BUILD)
        codes[cnpj] = voucher_code(services, cnpj)
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=HOURLY_BUILD)
    assert voucher_code(services, CNPJ) == codes[CNPJ]

    # Whoever knows CNPJ, customer and cycle cannot work the code out, and no file has the secret.
    [row] = services.warehouse.query(
        f"select `{CNPJ}_CAMPAIGN`.voucher_key() as secret", doing="reading the secret"
    )
    for cnpj, code in codes.items():
        known = hashlib.sha256(f"{cnpj}|BIRTHDAY|a|2026".encode()).hexdigest()[:8].upper()
        assert re.fullmatch("NIVER-[0-9A-F]{8}", code)
        assert code != f"NIVER-{known}"
    keyed = hashlib.sha256(f"{row['secret']}|BIRTHDAY|a|2026".encode()).hexdigest()[:8].upper()
    assert codes[CNPJ] == f"NIVER-{keyed}"
    written = [path for path in services.state_dir.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [path for path in written if row["secret"].encode() in path.read_bytes()]


def voucher_code(services: Services, cnpj: Cnpj) -> str:
    [target] = targets(services, cnpj)
    return str(json.loads(target.data)["voucher_code"])
