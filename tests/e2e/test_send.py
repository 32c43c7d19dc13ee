"""`vmhub templates` and `vmhub send` as processes, on the whole local stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from loader.local.stack import WHATSAPP_ACCOUNT
from tests.faults.bigquery import relaying
from tests.support import NUMERIC_CNPJ, official_client
from tests.whatsapp.sending.world import phone_of
from whatsapp.templates import read_seed_templates

if TYPE_CHECKING:
    from loader.local.stack import LocalStack
    from loader.services import Services

CNPJ = str(NUMERIC_CNPJ)


def vmhub(
    services: Services, stack: LocalStack, *arguments: str
) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if "EMULATOR" not in name}
    return subprocess.run(
        [sys.executable, "-m", "loader", *arguments],
        cwd=services.project.root,
        env={**inherited, **stack.variables(), **services.environment.variables()},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_target_goes_out_is_recorded_and_a_failure_is_listed(
    services: Services, stack: LocalStack
) -> None:
    client = official_client(services.environment)
    client.document("users", CNPJ).set({"active": True, "whatsapp": WHATSAPP_ACCOUNT})
    seed = services.project.root / "seeds" / "message_templates.csv"
    template = next(iter(read_seed_templates(seed).values()))
    shown = vmhub(services, stack, "templates", "push")
    assert f"would be submitted: {template.text}" in shown.stdout
    assert vmhub(services, stack, "templates", "check").returncode == 3
    assert vmhub(services, stack, "templates", "push", "--yes").returncode == 0
    checked = vmhub(services, stack, "templates", "check", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for customer_id, phone in (("c1", phone_of(1)), ("c2", "+551140000001")):
        put_target(services, customer_id, phone, template.name, template.variables)
    sent = vmhub(services, stack, "send", "--once", "--json")
    report = json.loads(sent.stdout)
    assert (report["sent"], report["failed"]) == (1, {"unreachable": 1}), sent.stderr
    assert sent.returncode == 3
    with urlopen(f"{stack.whatsapp_url}/_fake/ledger?cnpj={CNPJ}", timeout=10) as answer:
        (message,) = json.load(answer)["messages"]
    assert message["to"] == phone_of(1).removeprefix("+")
    assert "token-of-the-local-stack" not in sent.stdout + sent.stderr
    assert phone_of(1) not in sent.stdout + sent.stderr
    review = json.loads(vmhub(services, stack, "send", "review", "--json").stdout)["findings"]
    assert [(item["customer_id"], item["code"]) for item in review] == [("c2", "131021")]
    again = vmhub(services, stack, "send", "--once", "--json")
    assert (json.loads(again.stdout)["sent"], again.returncode) == (0, 0)
    rows = read_runs(services)
    assert sorted(row["sent"] for row in rows) == [0, 1]


def test_the_sender_runs_no_job_in_bigquery(services: Services, stack: LocalStack) -> None:
    client = official_client(services.environment)
    client.document("users", CNPJ).set({"active": True, "whatsapp": WHATSAPP_ACCOUNT})
    assert services.environment.bigquery_url
    with relaying(services.environment.bigquery_url) as relay:
        environment = replace(services.environment, bigquery_url=relay.url)
        sent = vmhub(replace(services, environment=environment), stack, "send", "--once")
    assert sent.returncode == 0, sent.stderr
    # So its account needs no roles/bigquery.jobUser. The dataset is made if it is missing.
    kinds = {urlsplit(request.path).path.rsplit("/", 1)[-1] for request in relay.requests}
    assert kinds == {"datasets", "tables", "insertAll"}


def put_target(
    services: Services, customer_id: str, phone: str, template: str, variables: tuple[str, ...]
) -> None:
    now = datetime.now(UTC)
    parameters = [{"parameter_name": name, "text": "Ana"} for name in variables]
    payload = {"name": template, "language": "pt_BR", "parameters": parameters}
    client = official_client(services.environment)
    client.document("users", CNPJ, "campaigns", "BIRTHDAY", "targets", customer_id).set(
        {
            "cnpj": CNPJ,
            "campaignType": "BIRTHDAY",
            "customerId": customer_id,
            "phone": phone,
            "data": {"message": "m", "template": payload},
            "status": "PENDING",
            "attempts": 0,
            "cycleKey": "2026",
            "createdAt": now,
            "expiresAt": now + timedelta(hours=1),
        }
    )


def read_runs(services: Services) -> list[dict[str, Any]]:
    return services.warehouse.query("select sent from `VMHUB_OPS.send_runs`", doing="reading runs")
