"""Shared by tests of built tables: laundromats with rows, and reading results."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google.auth.credentials
from google.api_core.client_options import ClientOptions
from google.cloud import bigquery, firestore

from loader.base.cnpj import Cnpj
from loader.dbt.project import Project
from loader.messages import Watermark
from loader.operations.onboard import onboard

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loader.base.environment import Environment
    from loader.services import Services
    from loader.sync.model import Target

NUMERIC_CNPJ = Cnpj("11222333000181")
ALPHANUMERIC_CNPJ = Cnpj("12ABC34501DE35")

# A Monday, 10:00 in São Paulo, late enough in the month for reactivation.
AS_OF = datetime(2026, 11, 23, 13, tzinfo=UTC)

# Arguments of builds: the hourly one, and a first one without tests except the gate.
HOURLY_BUILD = ["--selector", "hourly"]
FIRST_BUILD = [
    *("--select", "+target_publication", "assert_nobody_is_messaged_twice"),
    *("--indirect-selection", "empty"),
]

# As if every write were tracked; test_track.py shows what happens otherwise.
ALL_TRACKED = Watermark(full_at=datetime(9999, 1, 1, tzinfo=UTC))

# Scripts of this environment; its folder need not be on the PATH.
SCRIPTS = Path(sys.executable).parent


def run_script(services: Services, script: str, *arguments: str) -> str:
    """Run a script in the project and return its output; if it fails, fail with its output."""
    finished = subprocess.run(
        [SCRIPTS / script, *arguments],
        cwd=services.project.root,
        env={**os.environ, **services.environment.variables(), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def make_laundromat(
    services: Services,
    cnpj: Cnpj,
    *,
    timezone: str = "America/Sao_Paulo",
    **rows: Iterable[dict[str, Any]],
) -> None:
    """Create a laundromat with its RAW dataset and load rows, by table name.

    Columns that a row leaves out are NULL.
    """
    services.warehouse.create_dataset(f"{cnpj}_RAW", description="Test rows.")
    tables = {table.name: table for table in services.project.source_tables()}
    for table in tables.values():
        if table.dataset_suffix == "RAW":
            services.warehouse.create_table(table, cnpj)
    onboard(
        services.project,
        services.warehouse,
        services.registry,
        cnpj=cnpj,
        name="Lavanderia de Teste",
        timezone=timezone,
        audit=services.new_audit_log("test"),
    )
    for name, content in rows.items():
        services.warehouse.append(tables[name], cnpj, content)


def start_vmhub(services: Services, *arguments: str, firestore_host: str) -> subprocess.Popen[str]:
    """Start a command as a process of its own, with another Firestore than the session's."""
    environment = replace(services.environment, firestore_host=firestore_host)
    inherited = {name: value for name, value in os.environ.items() if "EMULATOR" not in name}
    return subprocess.Popen(
        [sys.executable, "-m", "loader", *arguments],
        cwd=services.project.root,
        env={**inherited, **environment.variables()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def copy_project(project: Project, folder: Path) -> Project:
    """Return a copy of dbt's files that a test can change; without unit tests, to parse fast."""
    unit_tests = shutil.ignore_patterns("*__unit_tests.yml")
    for part in ("models", "macros", "seeds", "tests/dbt"):
        shutil.copytree(project.root / part, folder / part, ignore=unit_tests)
    for file in ("dbt_project.yml", "selectors.yml"):
        shutil.copy(project.root / file, folder / file)
    return Project(folder)


def change_settings(services: Services, cnpj: Cnpj, **settings: Any) -> None:
    """Set a laundromat's own settings in the registry, as an owner would."""
    client = official_client(services.environment)
    client.document("users", cnpj).update({"settings": settings})


def decisions(services: Services, cnpj: Cnpj) -> dict[tuple[str, str], dict[str, Any]]:
    """Return campaign_decisions by campaign type and customer id."""
    rows = services.warehouse.query(
        f"select * from `{cnpj}_CAMPAIGN`.`campaign_decisions`", doing="reading decisions"
    )
    return {(row["campaign_type"], row["customer_id"]): row for row in rows}


def targets(services: Services, cnpj: Cnpj) -> list[Target]:
    """Return the rows of campaign_targets."""
    return [target for part in services.warehouse.targets(cnpj) for target in part]


def official_client(environment: Environment) -> firestore.Client:
    """Return Google's own client, as the WhatsApp integration uses it."""
    return firestore.Client(
        project=environment.project,
        credentials=google.auth.credentials.AnonymousCredentials(),  # type: ignore[no-untyped-call]
    )


def bigquery_client(environment: Environment) -> bigquery.Client:
    """Return Google's own client for the emulator."""
    return bigquery.Client(
        project=environment.project,
        credentials=google.auth.credentials.AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options=ClientOptions(api_endpoint=environment.bigquery_url),
    )


def documents(environment: Environment, cnpj: Cnpj) -> dict[tuple[str, str], dict[str, Any]]:
    """Return every target document of a laundromat by campaign type and customer id."""
    campaigns = official_client(environment).collection("users", cnpj, "campaigns")
    return {
        (campaign.id, target.id): target.to_dict() or {}
        for campaign in campaigns.list_documents()
        for target in campaign.collection("targets").stream()
    }


def put_document(
    services: Services, customer_id: str, *, cnpj: Cnpj = NUMERIC_CNPJ, **fields: Any
) -> firestore.DocumentReference:
    """Write a document in the state in which sync and a sender leave it."""
    content = {
        "cnpj": cnpj,
        "customerId": customer_id,
        "campaignType": "REACTIVATION",
        "cycleKey": "2026-11",
        "phone": "+5511900000001",
        "data": {"message": "Olá!", "age": 7},
        "status": "PENDING",
        "attempts": 0,
        "createdAt": AS_OF - timedelta(hours=1),
        "updatedAt": AS_OF - timedelta(hours=1),
        **fields,
    }
    place = f"users/{cnpj}/campaigns/REACTIVATION/targets/{customer_id}"
    return _put(services, place, content)


def _put(services: Services, place: str, content: dict[str, Any]) -> firestore.DocumentReference:
    reference = official_client(services.environment).document(place)
    reference.set(content)
    return reference


def put_send(
    services: Services, attempt_id: str, *, cnpj: Cnpj = NUMERIC_CNPJ, **fields: Any
) -> firestore.DocumentReference:
    """Write the document of an attempt, by default the first one to write to customer a."""
    content = {
        "campaignType": "REACTIVATION",
        "customerId": "a",
        "cycleKey": "2026-11",
        "attempt": 1,
        "at": AS_OF,
        "status": "SENT",
        "messageId": "m1",
        "updatedAt": AS_OF,
        **fields,
    }
    place = f"users/{cnpj}/sends/{attempt_id}"
    return _put(services, place, content)


def put_suppression(
    services: Services, event_id: str, *, cnpj: Cnpj = NUMERIC_CNPJ, **fields: Any
) -> firestore.DocumentReference:
    """Write an opt-out as the webhook does."""
    content = {"source": "WHATSAPP_TEXT", "optedOutAt": AS_OF, "updatedAt": AS_OF, **fields}
    place = f"users/{cnpj}/suppressions/{event_id}"
    return _put(services, place, content)


def sent(status: str = "SENT", at: datetime = AS_OF, **fields: Any) -> dict[str, Any]:
    """Return the fields that a sender writes after one attempt."""
    entry = {"attempt": 1, "at": at, "status": status, "messageId": "m1"}
    return {"status": status, "attempts": 1, "attemptLog": [entry], "updatedAt": at, **fields}


def history(services: Services, cnpj: Cnpj = NUMERIC_CNPJ) -> list[dict[str, Any]]:
    """Return message_history, sorted."""
    return services.warehouse.query(
        f"select * from `{cnpj}_CAMPAIGN`.`message_history` order by user_id, attempt",
        doing="reading history",
    )
