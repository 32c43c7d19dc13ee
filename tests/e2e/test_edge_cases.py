"""The cases of `tests.cases` through the built tables and into Firestore."""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import subprocess
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loader.services import Services
from loader.sync.model import Outcome
from loader.sync.run import SyncOptions
from tests.cases import CASES, NAMES, Case, all_rows, rows_of_the_next_day
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    HOURLY_BUILD,
    copy_project,
    documents,
    make_laundromat,
)

if TYPE_CHECKING:
    from loader.dbt.project import Project
    from loader.dbt.runner import ParsedProject
    from loader.local.stack import LocalStack
    from loader.sync.report import SyncReport

CNPJ = ALPHANUMERIC_CNPJ
TABLES = ("customer_facts", "campaign_decisions", "campaign_targets", "target_publication")

INVISIBLE = [0x200B, 0x202E, 0x2060, 0x2800, 0x3164, 0xFE0F, 0xFEFF]

Tables = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Built:
    """The laundromat of all cases after one build and one sync."""

    services: Services
    tables: Tables
    report: SyncReport
    documents: dict[tuple[str, str], dict[str, Any]]

    def facts(self) -> dict[str, dict[str, Any]]:
        return {row["customer_id"]: row for row in self.tables["customer_facts"]}

    def decisions(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {
            (row["campaign_type"], row["customer_id"]): row
            for row in self.tables["campaign_decisions"]
        }


@pytest.fixture(scope="module")
def built(
    project: Project,
    stack: LocalStack,
    parsed: ParsedProject,
    tmp_path_factory: pytest.TempPathFactory,
) -> Built:
    environment = replace(stack.environment(), project=f"test-{secrets.token_hex(6)}")
    services = Services(project, environment, tmp_path_factory.mktemp("state"), parsed)
    make_laundromat(services, CNPJ, timezone="America/Sao_Paulo", **all_rows())
    # With every data test: none of these rows may fail one.
    services.build(services.laundromat(CNPJ), as_of=AS_OF)
    report = services.sync(services.laundromat(CNPJ), as_of=AS_OF, options=SyncOptions())
    return Built(services, tables_of(services), report, documents(environment, CNPJ))


def tables_of(services: Services) -> Tables:
    """Return every row of every table, sorted."""
    return {
        table: sorted(
            services.warehouse.query(f"select * from `{CNPJ}_CAMPAIGN`.`{table}`", doing="reading"),
            key=lambda row: (str(row.get("campaign_type")), str(row.get("customer_id"))),
        )
        for table in TABLES
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.shows)
def test_a_case_leads_to_its_decisions(built: Built, case: Case) -> None:
    found = {
        key: list(row["blockers"])
        for key, row in built.decisions().items()
        if key[1] in case.customer_ids()
    }
    assert found == case.expected


def test_every_customer_with_an_id_has_facts_and_nobody_else(built: Built) -> None:
    customer_ids = [row["customer_id"] for row in built.tables["customer_facts"]]
    assert Counter(customer_ids) == Counter(id_ for case in CASES for id_ in case.customer_ids())


def test_every_decision_is_a_target_or_has_a_first_blocker(built: Built) -> None:
    decisions = built.decisions()
    targets = {
        (row["campaign_type"], row["customer_id"]) for row in built.tables["campaign_targets"]
    }
    assert len(targets) == len(built.tables["campaign_targets"])
    assert targets == {key for key, row in decisions.items() if not row["blockers"]}
    for row in decisions.values():
        assert row["first_blocker"] == next(iter(row["blockers"]), None)


def test_a_phone_and_a_person_have_one_target_of_a_campaign(built: Built) -> None:
    facts = built.facts()
    for fact in ("phone", "cpf"):
        targets = Counter(
            (row["campaign_type"], facts[row["customer_id"]][fact])
            for row in built.tables["campaign_targets"]
            if facts[row["customer_id"]][fact]
        )
        assert max(targets.values()) == 1


def test_amounts_add_up_whatever_the_till_wrote(built: Built) -> None:
    spent = {
        customer_id: built.decisions()["LOYALTY", customer_id]["data"]["total_spent"]
        for customer_id in ("lower case", "negative amount", "no amount", "beyond NUMERIC")
    }
    assert spent == {
        "lower case": 101.0,
        "negative amount": 85.9,
        "no amount": 90.9,
        "beyond NUMERIC": 90.9,
    }


def test_names_reach_firestore_as_typed_and_messages_as_whatsapp_takes_them(built: Built) -> None:
    for number, (name, first_name) in enumerate(NAMES.items()):
        document = built.documents["BIRTHDAY", f"name {number}"]
        visible = unicodedata.normalize("NFC", name).translate(dict.fromkeys(INVISIBLE))
        assert document["name"].strip() == visible.strip()
        assert document["data"]["message"].startswith(f"Feliz aniversário, {first_name}! 🎉 Hoje")
        assert document["data"]["template"]["parameters"] == [
            {"parameter_name": "first_name", "text": first_name}
        ]


def test_nameless_customers_are_addressed_all_the_same(built: Built) -> None:
    for blank in (None, "", "  "):
        document = built.documents["BIRTHDAY", f"clientes.nome {blank!r}"]
        assert document["name"] == ""
        assert document["data"]["message"].startswith("Feliz aniversário, cliente!")


def test_every_parameter_is_one_that_whatsapp_takes(built: Built) -> None:
    parameters = [
        parameter["text"]
        for row in built.tables["campaign_targets"]
        for parameter in row["data"]["template"]["parameters"]
    ]
    assert len(parameters) >= len(built.tables["campaign_targets"])
    for text in parameters:
        assert text.strip()
        assert not re.search(r"[\n\r\t]| {5}", text)


def test_every_target_becomes_the_document_of_its_customer(built: Built) -> None:
    targets = {
        (row["campaign_type"], row["customer_id"]): row for row in built.tables["campaign_targets"]
    }
    assert built.report.total(Outcome.CREATED) == len(targets)
    assert built.report.problems == ()
    assert set(built.documents) == set(targets)
    for key, row in targets.items():
        document = built.documents[key]
        assert (document["name"], document["phone"], document["cnpj"]) == (
            row["name"],
            row["phone"],
            CNPJ,
        )
        assert document["data"] == row["data"]
        assert document["expiresAt"] == datetime(2026, 11, 23, 23, tzinfo=UTC)


def test_what_is_sent_blocks_an_hour_later_and_the_first_instant_can_be_built_again(
    built: Built,
) -> None:
    services = built.services
    declared = {table.name: table for table in services.project.source_tables()}
    # Each target's greeting arrives a minute later, with its phone written in another form.
    sent = [
        {
            "user_id": row["customer_id"],
            "campaign_type": row["campaign_type"],
            "cycle_key": row["cycle_key"],
            "sent_at": (AS_OF + timedelta(minutes=1)).isoformat(),
            "status": "SENT",
            "phone": row["phone"].removeprefix("+"),
            "attempt": 1,
        }
        for row in built.tables["campaign_targets"]
    ]
    services.warehouse.append(declared["message_history"], CNPJ, sent)

    services.build(
        services.laundromat(CNPJ), as_of=AS_OF + timedelta(hours=1), arguments=HOURLY_BUILD
    )
    later = tables_of(services)
    # Only customers who just became candidates, and nobody a second time.
    assert {row["customer_id"] for row in later["campaign_targets"]} == {
        "resumes later",
        "after this instant",
    }
    decided = {
        (row["campaign_type"], row["customer_id"]): row for row in later["campaign_decisions"]
    }
    for row in sent:
        assert "ALREADY_MESSAGED" in decided[row["campaign_type"], row["user_id"]]["blockers"]

    for table, rows in rows_of_the_next_day().items():
        services.warehouse.append(declared[table], CNPJ, rows)
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=HOURLY_BUILD)
    assert tables_of(services) == built.tables


def test_neither_the_order_of_rows_nor_the_hash_seed_changes_a_row(
    built: Built, stack: LocalStack, tmp_path: Path
) -> None:
    environment = replace(stack.environment(), project=f"test-{secrets.token_hex(6)}")
    services = Services(built.services.project, environment, tmp_path)
    rows = all_rows()
    for table in rows.values():
        random.Random(7).shuffle(table)
    make_laundromat(services, CNPJ, timezone="America/Sao_Paulo", **rows)
    # What `vmhub build` runs in dbt, in a process with its own hash seed.
    dbt = Path(sys.executable).parent / "dbt"
    variables = json.dumps({"cnpj": CNPJ, "as_of": AS_OF.isoformat()})
    target = str(tmp_path / "dbt")
    arguments = ["--indirect-selection", "empty", "--target-path", target, "--log-path", target]
    finished = subprocess.run(
        [dbt, "build", "--select", "+target_publication", "--vars", variables, *arguments],
        cwd=copy_project(services.project, tmp_path / "project").root,
        env={**os.environ, **environment.variables(), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    assert tables_of(services) == built.tables
