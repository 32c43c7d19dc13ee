"""The audit log: who changed something or looked at a named person, over both emulators."""

from __future__ import annotations

import ast
import json
import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import typer.main
from typer.testing import CliRunner

from loader.base.errors import ConfigurationError, ServiceError
from loader.base.pseudonyms import pseudonym
from loader.bigquery import warehouse as warehouse_module
from loader.bigquery.actor import UNKNOWN, actor
from loader.bigquery.secret_keys import person_key
from loader.bigquery.warehouse import Warehouse
from loader.cli.app import app
from loader.dbt.project import find_project
from loader.local.stack import WHATSAPP_ACCOUNT
from loader.services import Services
from tests.cases.rows import born_today
from tests.faults.bigquery import relaying
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    FIRST_BUILD,
    NUMERIC_CNPJ,
    make_laundromat,
    official_client,
    put_document,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

    from loader.local.stack import LocalStack
    from tests.faults.bigquery import Request

ROOT = find_project().root
CNPJ = NUMERIC_CNPJ
CUSTOMER = "maria-silva-7"
PHONE = "+5511900000001"
HERE = ("--cnpj", CNPJ)
RESOLVE = (
    *("send", "resolve", *HERE, "--campaign", "reactivation"),
    *("--customer", CUSTOMER, "--outcome", "sent"),
)


@pytest.fixture
def laundromat(services: Services, stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Services:
    """A laundromat with a built customer and a message of unknown outcome."""
    # An account of its own, without templates.
    name, token = f"waba-{secrets.token_hex(4)}", secrets.token_hex(8)
    accounts = {
        "wabas": [{"id": name, "portfolio_id": WHATSAPP_ACCOUNT["portfolioId"]}],
        "tokens": [{"token": token, "waba_ids": [name]}],
    }
    httpx2.post(f"{stack.whatsapp_url}/_fake/accounts", json=accounts).raise_for_status()
    for variable, value in {**stack.variables(), "AUDIT_TOKEN": token}.items():
        monkeypatch.setenv(variable, value)
    make_laundromat(services, CNPJ, clientes=[born_today(CUSTOMER)])
    account = WHATSAPP_ACCOUNT | {"wabaId": name, "tokenSecret": "AUDIT_TOKEN"}
    services.registry.set_whatsapp(CNPJ, account)
    put_document(
        services,
        CUSTOMER,
        expiresAt=datetime.now(UTC) + timedelta(days=1),
        attempts=0,
        attemptLog=[
            {"attemptId": "a1", "attempt": 1, "status": "SENDING", "at": datetime.now(UTC)}
        ],
    )
    opened(monkeypatch, services)
    return services


def opened(monkeypatch: pytest.MonkeyPatch, services: Services) -> None:
    monkeypatch.setattr(Services, "open", lambda: services)


def vmhub(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def log(services: Services) -> list[dict[str, Any]]:
    """Return the entries of the commands, oldest first."""
    return services.warehouse.query(
        "select * from VMHUB_OPS.audit where command != 'test' order by recorded_at, subject",
        doing="reading the log",
    )


def target(services: Services) -> dict[str, Any]:
    place = f"users/{CNPJ}/campaigns/REACTIVATION/targets/{CUSTOMER}"
    return official_client(services.environment).document(place).get().to_dict() or {}


def user(services: Services, cnpj: str = CNPJ) -> dict[str, Any]:
    return official_client(services.environment).document("users", cnpj).get().to_dict() or {}


def suppressions(services: Services) -> list[Any]:
    client = official_client(services.environment)
    return [item.to_dict() for item in client.collection("users", CNPJ, "suppressions").stream()]


# What is recorded


def test_every_change_and_look_is_recorded_with_actor_and_pseudonym(
    laundromat: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "operator")
    laundromat.build(laundromat.laundromat(CNPJ), as_of=AS_OF, arguments=FIRST_BUILD)
    file = tmp_path / "procon.csv"
    file.write_text("telefone\n11 90000-0002\n11 90000-0003\n")
    zone = ("--timezone", "America/Manaus")
    for command in (
        ("onboard", *HERE, "--name", "Lava Bem", *zone),
        ("optout", "add", *HERE, "--phone", "11 90000-0001", "--customer", CUSTOMER),
        ("optout", "remove", *HERE, "--customer", CUSTOMER),
        ("optout", "import", str(file), *HERE),
        ("send", "review"),
        RESOLVE,
        ("explain", *HERE, "--customer", CUSTOMER, "--json"),
        ("preview", *HERE, "--as-of", AS_OF.isoformat(), "--set", "loyalty_min_visits=8"),
    ):
        result = vmhub(*command)
        assert result.exit_code == 0, (command, result.output, result.exception)

    entries = log(laundromat)
    assert {entry["actor"] for entry in entries} == {"local:operator"}
    key = person_key(laundromat.warehouse, CNPJ)
    who, phone = pseudonym(key, CUSTOMER), pseudonym(key, PHONE)
    list_name = entries[3]["subject"].removeprefix("opt-outs of ")
    assert re.fullmatch("list-[0-9a-f]{32}", list_name)
    campaigns = sorted(laundromat.project.campaign_types())
    said_at = [entries[place]["after"].pop("opted_out_at") for place in (1, 3)]
    assert all(
        abs(datetime.now(UTC) - datetime.fromisoformat(at)) < timedelta(minutes=5) for at in said_at
    )
    names = ("command", "cnpj", "action", "subject", "before", "after")
    assert [tuple(entry[name] for name in names) for entry in entries] == [
        (
            "vmhub onboard",
            *(CNPJ, "CHANGE", "registry"),
            {
                "name": "Lavanderia de Teste",
                "timezone": "America/Sao_Paulo",
                "campaigns": campaigns,
            },
            {"name": "Lava Bem", "timezone": "America/Manaus", "campaigns": campaigns},
        ),
        (
            "vmhub optout add",
            *(CNPJ, "CHANGE", f"opt-out of customer {who}, phone {phone}"),
            {"opted_out": 0},
            {"opted_out": 1, "source": "OPERATOR"},
        ),
        (
            "vmhub optout remove",
            *(CNPJ, "CHANGE", f"opt-out of customer {who}"),
            *({"opt_outs": 1}, {"opt_outs": 0}),
        ),
        (
            "vmhub optout import",
            *(CNPJ, "CHANGE", f"opt-outs of {list_name}"),
            {"opted_out": 0},
            {"opted_out": 2, "source": "PROCON"},
        ),
        ("vmhub send review", None, "LOOK", "messages that failed", None, None),
        (
            "vmhub send resolve",
            *(CNPJ, "CHANGE", f"message REACTIVATION to customer {who}"),
            *({"outcome": "unknown"}, {"outcome": "sent"}),
        ),
        ("vmhub explain", CNPJ, "LOOK", f"customer {who}", None, None),
        (
            "vmhub preview",
            *(CNPJ, "LOOK", "targets of a preview", None),
            {"as_of": "2026-11-23T13:00:00+00:00", "settings": ["loyalty_min_visits"]},
        ),
    ]
    everything = json.dumps(entries, default=str)
    for secret in (CUSTOMER, "90000", "Ana", "maria"):
        assert secret not in everything

    def asked(*arguments: str) -> list[str]:
        result = vmhub("audit", *arguments, "--json")
        assert result.exit_code == 0, result.exception
        assert CUSTOMER not in result.stdout
        return [entry["command"] for entry in json.loads(result.stdout)["entries"]]

    # The commands of the fixture are there, too.
    assert asked("--limit", "3") == ["vmhub preview", "vmhub explain", "vmhub send resolve"]
    assert asked(*HERE, "--customer", CUSTOMER) == [
        *("vmhub explain", "vmhub send resolve", "vmhub optout remove", "vmhub optout add")
    ]
    assert asked(*HERE, "--customer", PHONE) == ["vmhub optout add"]
    assert asked(*HERE, "--customer", "nobody") == []
    assert asked(*HERE, "--list", str(file)) == ["vmhub optout import"]
    assert asked("--cnpj", ALPHANUMERIC_CNPJ) == []
    assert asked("--action", "LOOK") == ["vmhub preview", "vmhub explain", "vmhub send review"]
    assert asked("--since", (datetime.now(UTC) + timedelta(hours=1)).isoformat()) == []
    shown = vmhub("audit", "--limit", "2")
    assert "… and older ones" in shown.output
    assert f"local:operator LOOK {CNPJ} customer {who} (vmhub explain)" in shown.output
    assert vmhub("audit", "--customer", CUSTOMER).exit_code != 0


def test_a_new_laundromat_and_a_submitted_template_are_recorded(
    laundromat: Services, stack: LocalStack
) -> None:
    name = ("--name", "Lava\x1b[2J Bem")
    assert vmhub("onboard", "--cnpj", ALPHANUMERIC_CNPJ, *name).exit_code == 0
    assert vmhub("templates", "push").exit_code == 0
    [new] = log(laundromat)
    assert (new["before"], new["after"]["name"]) == (None, "Lava�[2J Bem")
    assert vmhub("templates", "push", "--yes").exit_code == 0
    _, *submitted = log(laundromat)
    assert {(entry["command"], entry["action"]) for entry in submitted} == {
        ("vmhub templates push", "CHANGE")
    }
    account = user(laundromat)["whatsapp"]["wabaId"]
    assert submitted
    assert all(str(entry["subject"]).endswith(f" of account {account}") for entry in submitted)
    assert all(entry["after"]["text"] for entry in submitted)
    # Nothing is left to submit.
    assert vmhub("templates", "push", "--yes").exit_code == 0
    assert len(log(laundromat)) == 1 + len(submitted)


def test_a_look_at_nobody_is_recorded_and_a_dry_run_is_not(
    laundromat: Services, tmp_path: Path
) -> None:
    file = tmp_path / "list.csv"
    file.write_text("11 90000-0002\n")
    assert vmhub("optout", "import", str(file), *HERE, "--dry-run").exit_code == 0
    assert vmhub("optout", "remove", *HERE, "--customer", "nobody").exit_code != 0
    assert log(laundromat) == []
    assert vmhub("explain", *HERE, "--customer", "nobody").exit_code != 0
    assert [entry["command"] for entry in log(laundromat)] == ["vmhub explain"]


# No entry, no change


@pytest.mark.parametrize("fault", ["denied", "gone"])
def test_without_an_entry_nothing_is_changed_or_shown(
    laundromat: Services, stack: LocalStack, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    services = laundromat
    assert services.environment.bigquery_url
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=FIRST_BUILD)
    before = target(services), user(services)
    with relaying(services.environment.bigquery_url) as relay:
        url = relay.url

        def is_entry(request: Request) -> bool:
            return request.path.endswith("/tables/audit/insertAll?prettyPrint=false")

        relay.is_denied = is_entry
        if fault == "gone":
            # After the questions about actor and key, which go to BigQuery, too.
            def close(request: Request) -> None:
                if is_entry(request):
                    raise ConnectionError

            relay.hook, relay.is_denied = close, lambda _request: False
            retry = warehouse_module._RETRY.with_timeout(0.5)  # noqa: SLF001
            monkeypatch.setattr(warehouse_module, "_RETRY", retry)
        environment = replace(services.environment, bigquery_url=url)
        opened(monkeypatch, replace(services, environment=environment))
        for command in (
            ("onboard", *HERE, "--name", "Lava Bem"),
            ("onboard", "--cnpj", ALPHANUMERIC_CNPJ, "--name", "Lava Bem"),
            ("optout", "add", *HERE, "--customer", CUSTOMER),
            ("explain", *HERE, "--customer", CUSTOMER),
            ("explain", *HERE, "--customer", CUSTOMER, "--json"),
            ("send", "review"),
            ("templates", "push", "--yes"),
            RESOLVE,
        ):
            relay.requests.clear()
            result = vmhub(*command)
            assert isinstance(result.exception, ConfigurationError | ServiceError), command
            assert "VMHUB_OPS.audit" in str(result.exception)
            assert result.stdout == ""
            # It is the entry that failed, and nothing was asked afterwards.
            assert is_entry(relay.requests[-1]), command
    assert (target(services), user(services)) == before
    checked = vmhub("templates", "check", "--json")
    assert {line["state"] for line in json.loads(checked.stdout)["templates"]} == {
        "WhatsApp does not have it"
    }
    assert user(services, ALPHANUMERIC_CNPJ) == {}
    assert suppressions(services) == []
    assert log(services) == []


# Who did it


def test_the_actor_is_the_account_that_bigquery_sees(services: Services) -> None:
    assert services.environment.bigquery_url
    with relaying(services.environment.bigquery_url) as relay:
        warehouse = Warehouse(replace(services.environment, bigquery_url=relay.url))
        for principal in ("user:ana@example.com", "serviceAccount:vmhub@p.example.com"):
            relay.headers["x-bqemu-caller"] = principal
            assert actor(warehouse, is_local=False) == principal.partition(":")[2]
        relay.is_denied = lambda request: request.path.endswith("/jobs?prettyPrint=false")
        assert actor(warehouse, is_local=False) == UNKNOWN


def test_a_user_without_a_name_is_said_to_be_unknown(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        message = "getpwuid(): uid not found: 4711"
        raise KeyError(message)

    monkeypatch.setattr("getpass.getuser", nobody)
    assert actor(services.warehouse, is_local=True) == "local:unknown"


# Nothing is forgotten

# Calls that change what others see, and the one place that records them.
RECORDED_CALLS = {
    "register": {"loader/operations/onboard.py"},
    "SuppressionStore": {"loader/cli/optout.py", "loader/cli/privacy_access.py"},
    "create_template": {"loader/cli/templates.py"},
    "resolve_attempt": {"loader/cli/send.py"},
    # The demo's accounts are those of the fake WhatsApp.
    "set_whatsapp": {"loader/local/demo.py"},
}


def commands() -> Iterator[str]:
    """Return the names of all commands, such as `optout add`."""

    def look(command: Any, name: str) -> Iterator[str]:
        names = command.list_commands(None) if hasattr(command, "list_commands") else ()
        if not names or command.invoke_without_command:
            yield name
        for child in names:
            yield from look(command.get_command(None, child), f"{name} {child}".strip())

    group: Any = typer.main.get_command(app)
    return (found for found in look(group, "") if found)


def test_the_docs_say_of_every_command_what_is_recorded_or_why_nothing_is() -> None:
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    recorded, others = (
        re.findall(r"^\| `vmhub ([a-z -]+)` \| \S.* \|", part, re.MULTILINE)
        for part in text.split("\n## ")[1:3]
    )
    assert sorted([*recorded, *others]) == sorted(commands())
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "loader").rglob("*.py")]
    opened_logs = re.findall(r'new_audit_log\("vmhub ([a-z ]+)"\)', "\n".join(sources))
    # The demo registers its laundromats as `vmhub onboard` does.
    assert sorted(recorded) == sorted({*opened_logs} - {"demo"})


def test_what_changes_something_is_called_only_where_it_is_recorded() -> None:
    found: dict[str, set[str]] = {}
    for package in ("loader", "whatsapp", "console"):
        for path in (ROOT / package).rglob("*.py"):
            place = str(path.relative_to(ROOT))
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", None))
                    if name in RECORDED_CALLS and not place.startswith("whatsapp/fake/"):
                        found.setdefault(str(name), set()).add(place)
    assert found == RECORDED_CALLS
