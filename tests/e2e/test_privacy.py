"""A person's rights over both emulators: exported, erased, and not brought back."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from loader.base.errors import ConfigurationError, RunError
from loader.base.persons import person_keys
from loader.base.retry import Retry
from loader.cli import privacy
from loader.cli.privacy import privacy_app
from loader.cli.privacy_access import Access
from loader.firestore.aio import connect_async
from loader.firestore.changes import ChangeReader
from loader.firestore.suppressions import SuppressionStore
from loader.operations.optouts.actions import NamedPerson, opt_in
from loader.operations.privacy.held import held
from loader.operations.privacy.inventory import COLLECTIONS
from loader.services import Services
from loader.sync.run import SyncOptions
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    HOURLY_BUILD,
    NUMERIC_CNPJ,
    bigquery_client,
    change_settings,
    documents,
    make_laundromat,
    official_client,
    put_document,
    put_send,
    put_suppression,
    sent,
)
from whatsapp.store import Store
from whatsapp.targets import read_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

    from loader.dbt.project import Project
    from loader.dbt.runner import ParsedProject
    from loader.local.stack import LocalStack
    from tests.googlesql import Analysis

CNPJ = NUMERIC_CNPJ
DAY = timedelta(days=1)
ID, TWIN, FAMILY, OTHER = "cli-7731", "cli-7732", "cli-8801", "cli-9908"
KILLED, CLAIMED, STREAMED = "cli-5501", "cli-5502", "cli-5503"
CPF = "90000004100"
PHONE, OLD_PHONE, OTHER_PHONE = "+5511900000041", "+5521900000042", "+5511900000099"
# What must not be found anywhere but in RAW.
NEEDLES = (
    *(ID, TWIN, "Anabela", CPF, "900.000.041-00"),
    *("900000041", "90000-0041", "900000042", "1100000041"),
    *("SEGREDO", "wamid.ANABELA", "BR.4141"),
)
TABLES = ("campaign_performance", "campaign_conversions", "campaign_lift", "voucher_rates")
CAMPAIGNS = ("BIRTHDAY", "WELCOME", "REACTIVATION", "LOYALTY")


def customer(id_: str, nome: str, telefone: str, cpf: str | None, **columns: Any) -> dict[str, Any]:
    registered = (AS_OF - DAY).isoformat()
    born = "1990-11-23T00:00:00Z"
    row = {"id": id_, "nome": nome, "telefone": telefone, "cpf": cpf}
    return {**row, "dataNascimento": born, "dataCadastro": registered, **columns}


def sale(cpf: str, at: datetime, cupom: str | None = None) -> dict[str, Any]:
    paid = {"valor": 20.5, "status": "COMPLETED", "tipoPagamento": "PIX"}
    return {"data": at.isoformat(), "cpfCliente": cpf, "cupom": cupom, **paid}


def message(id_: str, campaign: str, cycle: str, days: int, **columns: Any) -> dict[str, Any]:
    return {
        "user_id": id_,
        "campaign_type": campaign,
        "cycle_key": cycle,
        "attempt": 1,
        "sent_at": (AS_OF - days * DAY).isoformat(),
        "status": "DELIVERED",
        "phone": PHONE,
        "message_content": f"Olá Anabela, SEGREDO {campaign}",
        "message_id": f"wamid.ANABELA{campaign}",
        "whatsapp_user_id": "BR.4141",
        "template_variant": "DEFAULT",
        "updated_at": (AS_OF - days * DAY).isoformat(),
        **columns,
    }


@dataclass(frozen=True)
class Laundromat:
    """A built laundromat with a customer of many traces."""

    services: Services

    def everything(self) -> dict[str, str]:
        """Return every table but those of RAW, and every document, as text, by name."""
        client = bigquery_client(self.services.environment)
        found = {}
        for dataset in client.list_datasets():
            for table in client.list_tables(dataset.dataset_id):
                if not dataset.dataset_id.endswith("_RAW"):
                    name = f"{dataset.dataset_id}.{table.table_id}"
                    sql = f"select * from `{dataset.dataset_id}`.`{table.table_id}`"
                    # A member of the family has the same phone, and keeps it.
                    rows = [
                        row
                        for row in self.services.warehouse.query(sql, doing="reading")
                        if row.get("customer_id") != FAMILY
                    ]
                    found[name] = json.dumps(rows, default=str, ensure_ascii=False)
        for path, fields in all_documents(self.services):
            found[path] = f"{path} {json.dumps(fields, default=str, ensure_ascii=False)}"
        return found

    def leaks(self) -> list[tuple[str, str]]:
        return [
            (name, needle)
            for name, text in self.everything().items()
            for needle in NEEDLES
            if needle in text
        ]

    def build(self, as_of: datetime) -> None:
        laundromat = self.services.laundromat(CNPJ)
        self.services.build(laundromat, as_of=as_of, arguments=HOURLY_BUILD)
        daily = ["--selector", "daily", "--indirect-selection", "empty"]
        self.services.build(laundromat, as_of=as_of, arguments=daily)

    def figures(self) -> dict[str, list[str]]:
        """Return the tables of figures, without who is who."""
        found = {}
        for table in (*TABLES, "voucher_redemptions", "target_log", "messages"):
            sql = f"select * from `{CNPJ}_CAMPAIGN`.`{table}`"
            rows = self.services.warehouse.query(sql, doing="reading figures")
            for row in rows:
                row.pop("customer_id", None)
                row.pop("message_id", None)
            found[table] = sorted(json.dumps(row, default=str, sort_keys=True) for row in rows)
        return found

    def people(self) -> dict[str, int]:
        """Return how many people each table of figures tells apart."""
        tables = ("target_log", "messages", "campaign_conversions")
        return {
            table: self.services.warehouse.query(
                f"select count(distinct customer_id) as n from `{CNPJ}_CAMPAIGN`.`{table}`",
                doing="counting",
            )[0]["n"]
            for table in tables
        }


def all_documents(services: Services) -> Iterator[tuple[str, dict[str, Any]]]:
    def below(parent: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        for collection in parent.collections():
            for reference in collection.list_documents():
                fields = reference.get().to_dict()
                if fields is not None:
                    yield reference.path, fields
                yield from below(reference)

    return below(official_client(services.environment))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(privacy_app, list(arguments), catch_exceptions=False)


def done(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--cnpj", CNPJ, "--customer", ID, "--json")
    assert result.exit_code == 0, (result.exception, result.output)
    content: dict[str, Any] = json.loads(result.stdout)
    return content


@pytest.fixture(scope="module")
def built(
    project: Project,
    stack: LocalStack,
    parsed: ParsedProject,
    tmp_path_factory: pytest.TempPathFactory,
) -> Laundromat:
    environment = replace(stack.environment(), project=f"privacy-{secrets.token_hex(6)}")
    services = Services(project, environment, tmp_path_factory.mktemp("privacy"), parsed)
    purchases = [AS_OF - days * DAY for days in range(40, 52)]
    make_laundromat(
        services,
        CNPJ,
        clientes=[
            customer(ID, "Anabela Exemplo", "(11) 90000-0041", "900.000.041-00"),
            customer(TWIN, "Anabela E.", "11 90000-0041", CPF),
            customer(FAMILY, "Bento Exemplo", "11900000041", "90000008800"),
            customer(OTHER, "Caio Exemplo", "11900000099", "90000009900"),
            *(
                customer(id_, f"Dora {id_}", f"119000006{id_[-2:]}", f"900000{id_[-4:]}0")
                for id_ in (KILLED, CLAIMED, STREAMED)
            ),
        ],
        vendas=[
            *(sale(CPF, at) for at in purchases),
            *(sale("90000009900", at) for at in purchases),
            sale(CPF, AS_OF - 9 * DAY, "VIP-ABC"),
        ],
        message_history=[
            message(ID, "BIRTHDAY", "2025", 365, phone=OLD_PHONE),
            message(ID, "WELCOME", "ONCE", 10, voucher_code="VIP-ABC"),
            message(ID, "REACTIVATION", "2026-11", 3),
            message(ID, "LOYALTY", "R1", 2, status="FAILED", error_code="131026"),
            message(TWIN, "WELCOME", "ONCE", 12),
            *(
                {
                    **message(id_, "WELCOME", "ONCE", 1, phone=f"+55119000006{id_[-2:]}"),
                    "message_content": f"Olá Dora {id_}",
                    "message_id": f"wamid.{id_}",
                    "whatsapp_user_id": None,
                }
                for id_ in (KILLED, CLAIMED, STREAMED)
            ),
            # Of an older system.
            message(ID, "BIRTHDAY", "", 400, cycle_key=None, attempt=None),
            {
                **message(OTHER, "WELCOME", "ONCE", 10, phone=OTHER_PHONE),
                "message_content": "Olá Caio",
                "message_id": "wamid.CAIO",
                "whatsapp_user_id": "BR.99",
            },
        ],
        opt_outs=[
            {"phone": "(11) 90000-0041", "source": "OWNER", "opted_out_at": AS_OF.isoformat()},
            {"phone": f"11 90000-0041 / {OTHER_PHONE}", "source": "LIST"},
            {"user_id": ID, "source": "OWNER", "opted_out_at": AS_OF.isoformat()},
            {"user_id": FAMILY, "phone": PHONE, "source": "OWNER"},
        ],
    )
    change_settings(services, CNPJ, welcome_voucher_prefix="VIP", welcome_holdout_percent=50)
    laundromat = Laundromat(services)
    seeds = ["--selector", "deploy", "--indirect-selection", "empty"]
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=seeds)
    laundromat.build(AS_OF)
    return laundromat


@pytest.fixture(scope="module")
def traces(built: Laundromat) -> Laundromat:
    """Add documents, previews and records about the person."""
    services = built.services
    client = official_client(services.environment)
    for campaign in CAMPAIGNS:
        for id_ in (ID, TWIN):
            fields = {
                "customerId": id_,
                "name": "Anabela Exemplo",
                "phone": PHONE,
                "data": {"message": "Olá Anabela, SEGREDO"},
                "createdAt": AS_OF - DAY,
                **sent(at=AS_OF - DAY, status="SENT"),
            }
            path = f"users/{CNPJ}/campaigns/{campaign}/targets/{id_}"
            client.document(path).set(fields)
    put_document(services, OTHER, cnpj=CNPJ, name="Caio Exemplo", phone=OTHER_PHONE)
    put_send(services, "s1", cnpj=CNPJ, customerId=ID, messageId="wamid.ANABELAREACTIVATION")
    put_send(services, "s2", cnpj=CNPJ, customerId=OTHER, messageId="wamid.CAIO")
    put_suppression(
        services,
        "m-wamid.ANABELA-SAIR",
        cnpj=CNPJ,
        keys=[
            *person_keys(phone=PHONE, customer_id=ID),
            *person_keys(customer_id=FAMILY),
            "user:BR.4141",
        ],
        phone=PHONE,
        customerId=ID,
        userId="BR.4141",
    )
    resumption = {"keys": person_keys(phone=PHONE), "at": AS_OF - 90 * DAY, "updatedAt": AS_OF}
    client.document(f"users/{CNPJ}/resumptions/preference-1").set(resumption)
    confirmation = {"at": AS_OF, "event": "m-wamid.ANABELA-SAIR"}
    client.document(f"users/{CNPJ}/confirmations/k").set(confirmation)
    client.document("unmatched/u1").set({"messageId": "wamid.ANABELAWELCOME", "status": "read"})
    warehouse = services.warehouse
    warehouse.create_dataset(f"{CNPJ}_PREVIEW", description="Preview.")
    for source, table in (
        ("customer_facts", "customer_facts"),
        ("customer_facts", "customer_facts__baseline"),
        ("campaign_decisions", "campaign_decisions"),
    ):
        rows = f"select * from `{CNPJ}_CAMPAIGN`.`{source}`"
        warehouse.query(f"create table `{CNPJ}_PREVIEW`.`{table}` as {rows}", doing="copying")
    old = (datetime.now(UTC) - DAY).isoformat()
    reject = {"cnpj": CNPJ, "recorded_at": old, "campaign_type": "WELCOME", "customer_id": ID}
    warehouse.insert(services.project.ops_tables()["sync_rejects"], [reject])
    return built


@pytest.fixture(autouse=True)
def opened(built: Laundromat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "open_services", lambda: built.services)


def audit_rows(services: Services) -> list[dict[str, Any]]:
    sql = "select * from `VMHUB_OPS`.`audit` order by `recorded_at`"
    return services.warehouse.query(sql, doing="reading the audit")


def test_an_export_has_everything_from_both_stores_and_is_audited(
    traces: Laundromat, tmp_path: Path
) -> None:
    page = tmp_path / "person.html"
    export = done("export", "--out", str(page))
    tables = {table["table"]: table["rows"] for table in export["tables"]}
    assert export["customer_ids"] == [ID, TWIN]
    assert export["phones"] == [PHONE, OLD_PHONE]
    assert len(tables[f"{CNPJ}_RAW.clientes"]) == 2
    assert len(tables[f"{CNPJ}_RAW.vendas"]) == 13
    assert len(tables[f"{CNPJ}_CAMPAIGN.message_history"]) == 6
    assert len(tables[f"{CNPJ}_CAMPAIGN.opt_outs"]) == 4
    assert len(tables[f"{CNPJ}_PREVIEW.customer_facts__baseline"]) == 2
    assert len(tables["VMHUB_OPS.sync_rejects"]) == 1
    paths = {document["path"] for document in export["documents"]}
    assert len(paths) == 8 + 1 + 1 + 1 + 1 + 1
    # Wherever the person is found by searching everything, the export has it, too.
    assert {name for name, _ in traces.leaks()} == {*tables, *paths} - {
        f"{CNPJ}_RAW.clientes",
        f"{CNPJ}_RAW.vendas",
    }
    # Nothing of other people.
    assert "Caio" not in json.dumps(export)
    text = page.read_text()
    assert "Anabela" in text
    assert "Mensagens enviadas" in text
    assert "<script" not in text
    entry = audit_rows(traces.services)[-1]
    assert (entry["action"], entry["cnpj"]) == ("EXPORT", CNPJ)
    assert entry["subject"].startswith("customer person-")
    assert not [needle for needle in NEEDLES if needle in json.dumps(entry, default=str)]


def test_every_collection_is_in_the_inventory(traces: Laundromat) -> None:
    known = {collection.path for collection in COLLECTIONS}
    for path, _ in all_documents(traces.services):
        parts = path.split("/")[:-1]
        assert "/".join("*" if place % 2 else part for place, part in enumerate(parts)) in known


def test_a_dry_run_lists_and_changes_nothing(traces: Laundromat) -> None:
    before = traces.everything()
    report = done("erase")
    assert report["is_dry_run"]
    assert report["erased_at"] is None
    counts = {part["place"]: part["count"] for part in report["plan"]["parts"]}
    assert counts[f"{CNPJ}_CAMPAIGN.message_history"] == 6
    assert counts[f"users/{CNPJ}/campaigns/WELCOME/targets"] == 2
    assert counts[f"users/{CNPJ}/sends"] == 1
    assert counts[f"{CNPJ}_RAW.vendas"] == 13
    shown = run("erase", "--cnpj", CNPJ, "--customer", ID).output
    assert "Nothing was changed" in shown
    assert not [needle for needle in NEEDLES[2:] if needle in shown]
    assert traces.everything() == before


def test_an_erased_person_is_nowhere_and_stays_away(traces: Laundromat) -> None:
    services = traces.services
    figures, people = traces.figures(), traces.people()
    report = done("erase", "--yes")
    assert report["pending"] == []
    assert report["copies_end_at"] > report["erased_at"]
    assert "900000041" not in json.dumps(report)
    statements = " ".join(report["plan"]["statements"])
    assert f"delete from `{CNPJ}_RAW`.`clientes`" in statements
    assert CPF not in statements
    assert traces.leaks() == []
    assert traces.figures() == figures
    assert traces.people() == people
    assert people["campaign_conversions"] >= 1

    # RAW still has the person: no build and no sync brings them back, and the figures stay.
    later = AS_OF + timedelta(hours=1)
    traces.build(later)
    assert traces.leaks() == []
    after = traces.figures()
    assert {name: after[name] for name in TABLES} == {name: figures[name] for name in TABLES}
    assert traces.people() == people
    [tracked] = services.track([CNPJ], as_of=later).laundromats
    assert tracked.oddities == ()
    services.sync(services.laundromat(CNPJ), as_of=later, options=SyncOptions())
    assert traces.leaks() == []
    sql = f"select customer_id from `{CNPJ}_CAMPAIGN`.`campaign_targets`"
    reached = {row["customer_id"] for row in services.warehouse.query(sql, doing="reading")}
    # Neither the person nor who shares the phone; an opt-out of one phone is everybody's with it.
    assert reached
    assert reached.isdisjoint({ID, TWIN, FAMILY})
    assert {id_ for _, id_ in documents(services.environment, CNPJ)}.isdisjoint({ID, TWIN, FAMILY})

    # Again: there is nothing left, and nothing changes.
    again = done("erase", "--yes")
    assert {part["place"] for part in again["plan"]["parts"] if part["count"]} == {
        f"{CNPJ}_RAW.clientes",
        f"{CNPJ}_RAW.vendas",
    }
    assert traces.leaks() == []
    actions = [entry["action"] for entry in audit_rows(services)]
    assert actions.count("ERASE") == 2


class KilledError(BaseException):
    """Ends a run as a signal would."""


def access(services: Services) -> Access:
    return Access.of(services, CNPJ)


def waiting_target(services: Services, id_: str, **fields: Any) -> None:
    phone = f"+55119000006{id_[-2:]}"
    client = official_client(services.environment)
    content = {
        "customerId": id_,
        "name": f"Dora {id_}",
        "phone": phone,
        "status": "PENDING",
        "attempts": 0,
        "createdAt": AS_OF,
        "updatedAt": AS_OF,
        **fields,
    }
    client.document(f"users/{CNPJ}/campaigns/BIRTHDAY/targets/{id_}").set(content)


def may_be_written_to(services: Services, id_: str) -> bool:
    """Ask as the sender does before each message."""
    phone = f"+55119000006{id_[-2:]}"

    async def ask() -> bool:
        store = Store(connect_async(services.environment))
        name = store.target_name(CNPJ, "BIRTHDAY", id_)
        target = read_target(name, AS_OF, {"customerId": id_, "phone": phone})
        return not await store.is_suppressed(target)

    return asyncio.run(ask())


def traces_of(laundromat: Laundromat, id_: str) -> list[str]:
    needles = (id_, f"900006{id_[-2:]}", f"9000006{id_[-2:]}")
    everything = laundromat.everything().items()
    return [name for name, text in everything if any(needle in text for needle in needles)]


def test_a_run_that_was_killed_at_any_step_is_finished_by_the_next(traces: Laundromat) -> None:
    services = traces.services
    waiting_target(services, KILLED)
    assert may_be_written_to(services, KILLED)
    seen: list[str] = []
    while True:
        steps = 0

        def stop(step: str) -> None:
            nonlocal steps
            steps += 1
            if step not in seen:
                seen.append(step)
                raise KilledError

        work = access(services).eraser(KILLED, on_step=stop)
        try:
            report = work.eraser.erase(work.plan)
        except KilledError:
            # From the first write on, nobody writes to the person.
            assert may_be_written_to(services, KILLED) == (len(seen) == 1), seen
            continue
        break
    assert len(seen) == steps > 5
    assert report.pending == ()
    assert traces_of(traces, KILLED) == []
    assert not may_be_written_to(services, KILLED)
    sql = f"select count(*) as n from `{CNPJ}_CAMPAIGN`.`message_history` where phone is null"
    assert services.warehouse.query(sql, doing="counting")[0]["n"] >= 1


def test_a_target_that_a_sender_holds_is_left_until_it_is_given_back(traces: Laundromat) -> None:
    services = traces.services
    now = datetime.now(UTC)
    waiting_target(services, CLAIMED, claimedUntil=now + timedelta(minutes=4))
    arguments = ("erase", "--yes", "--cnpj", CNPJ, "--customer", CLAIMED)
    result = run(*arguments)
    assert result.exit_code == 3
    assert "a sender holds" in result.output
    assert "run the same command again after" in result.output
    assert not may_be_written_to(services, CLAIMED)
    assert traces_of(traces, CLAIMED) == [
        f"users/{CNPJ}/campaigns/BIRTHDAY/targets/{CLAIMED}",
        next(name for name in traces.everything() if "erasing-" in name),
    ]
    work = access(services).eraser(CLAIMED)
    work.eraser.now = lambda: now + timedelta(minutes=5)
    assert work.eraser.erase(work.plan).pending == ()
    assert traces_of(traces, CLAIMED) == []


def test_rows_that_were_just_streamed_in_are_said_to_wait(traces: Laundromat) -> None:
    services = traces.services
    now = datetime.now(UTC)
    reject = {"cnpj": CNPJ, "recorded_at": now.isoformat(), "customer_id": STREAMED}
    services.warehouse.insert(services.project.ops_tables()["sync_rejects"], [reject])
    work = access(services).eraser(STREAMED)
    [pending] = work.eraser.erase(work.plan).pending
    assert "VMHUB_OPS.sync_rejects" in pending
    later = access(services).eraser(STREAMED)
    later.eraser.now = lambda: now + timedelta(minutes=91)
    assert later.eraser.erase(later.plan).pending == ()
    assert traces_of(traces, STREAMED) == []


def test_while_a_run_serves_the_laundromat_nothing_is_erased(traces: Laundromat) -> None:
    services = traces.services
    with held(services.database, CNPJ, "a run"), pytest.raises(RunError, match="is serving"):
        run("erase", "--yes", "--cnpj", CNPJ, "--customer", OTHER)
    assert may_be_written_to(services, OTHER)


def test_a_person_who_wants_messages_again_is_not_messaged_twice(traces: Laundromat) -> None:
    services = traces.services
    reader = ChangeReader(services.database, Retry())
    store = SuppressionStore(services.database, CNPJ)
    person = NamedPerson(customer_id=STREAMED)
    audit = services.new_audit_log("test")
    ended = opt_in(reader, store, CNPJ, person, now=AS_OF, audit=audit, subject="customer person-…")
    assert ended.written >= 3
    assert may_be_written_to(services, STREAMED)
    services.track([CNPJ], as_of=AS_OF + timedelta(hours=2), is_full=True)
    services.build(
        services.laundromat(CNPJ), as_of=AS_OF + timedelta(hours=2), arguments=HOURLY_BUILD
    )
    sql = f"select * from `{CNPJ}_CAMPAIGN`.`campaign_decisions` where customer_id = '{STREAMED}'"
    blockers = {
        row["campaign_type"]: row["first_blocker"]
        for row in services.warehouse.query(sql, doing="reading")
    }
    assert blockers["WELCOME"] == "ALREADY_MESSAGED"


def test_other_peoples_opt_outs_stay(traces: Laundromat) -> None:
    services = traces.services
    sql = f"""
        select phone, user_id, source from `{CNPJ}_CAMPAIGN`.`opt_outs`
        where source in ('LIST', 'OWNER') order by source
    """
    rows = [tuple(row.values()) for row in services.warehouse.query(sql, doing="reading")]
    assert rows == [(OTHER_PHONE, None, "LIST"), (None, FAMILY, "OWNER")]
    [kept] = [fields for path, fields in all_documents(services) if "of-others-" in path]
    assert (kept["keys"], kept["customerId"]) == ([f"customer:{FAMILY}"], FAMILY)
    assert kept["source"] == "WHATSAPP_TEXT"
    assert "phone" not in kept


def test_a_mistyped_id_erases_nobody(traces: Laundromat) -> None:
    before = traces.everything()
    with pytest.raises(ConfigurationError, match="knows nobody"):
        run("erase", "--yes", "--cnpj", CNPJ, "--customer", "cli-0000")
    with pytest.raises(ConfigurationError, match="pseudonym"):
        run("erase", "--yes", "--cnpj", CNPJ, "--customer", f"person-{32 * '0'}")
    lease = f"users/{CNPJ}/operations/run"
    after = traces.everything()
    assert {**before, lease: "", "VMHUB_OPS.audit": ""} == {
        **after,
        lease: "",
        "VMHUB_OPS.audit": "",
    }


def old_history(services: Services) -> dict[str, Any]:
    sql = (
        "select countif(message_content is not null) as texts, countif(phone is not null) as phones"
        f" from `{CNPJ}_CAMPAIGN`.`message_history` where user_id like 'old-%'"
    )
    [row] = services.warehouse.query(sql, doing="counting")
    return row


def test_a_sweep_removes_what_was_kept_long_enough_and_nothing_else(traces: Laundromat) -> None:
    services = traces.services
    now = datetime.now(UTC)
    client = official_client(services.environment)
    tables = services.project.ops_tables()
    [declared] = [
        table for table in services.project.owned_tables() if table.name == "message_history"
    ]
    ages = (10, 400, 2000)
    rows = [
        {**message(f"old-{days}", "WELCOME", "ONCE", 0), "message_content": "Olá"} for days in ages
    ]
    for row, days in zip(rows, ages, strict=True):
        row["sent_at"] = (now - days * DAY).isoformat()
    services.warehouse.append(declared, CNPJ, rows)
    for days in (10, 100):
        at = now - days * DAY
        client.document(f"users/{CNPJ}/sends/old{days}").set({"updatedAt": at, "status": "SENT"})
        records = {"cnpj": CNPJ, "recorded_at": at.isoformat(), "customer_id": f"old-{days}"}
        services.warehouse.insert(tables["sync_rejects"], [records])
    for id_, status in (("old-sent", "DELIVERED"), ("old-waiting", "PENDING")):
        path = f"users/{CNPJ}/campaigns/LOYALTY/targets/{id_}"
        client.document(path).set({"updatedAt": now - 300 * DAY, "status": status})
    services.registry.set_tracked({CNPJ: None}, until=now)

    arguments = ("sweep", "--cnpj", CNPJ, "--json")
    dry = json.loads(run(*arguments).stdout)["laundromats"][0]
    assert old_history(services) == {"texts": 3, "phones": 3}
    report = json.loads(run(*arguments, "--yes").stdout)["laundromats"][0]
    assert [{**swept, "before": ""} for swept in report["swept"]] == [
        {**swept, "before": ""} for swept in dry["swept"]
    ]
    counts = {(swept["place"], swept["setting"]): swept["count"] for swept in report["swept"]}
    history = f"{CNPJ}_CAMPAIGN.message_history"
    assert counts[history, "texts_kept_days"] >= 2
    assert counts[history, "phones_kept_days"] == 1
    assert counts[f"users/{CNPJ}/sends", "sends_kept_days"] == 1
    assert counts["VMHUB_OPS.sync_rejects", "rejects_kept_days"] == 1
    assert old_history(services) == {"texts": 1, "phones": 2}
    paths = {path for path, _ in all_documents(services)}
    assert f"users/{CNPJ}/sends/old10" in paths
    assert f"users/{CNPJ}/campaigns/LOYALTY/targets/old-waiting" in paths
    assert paths.isdisjoint(
        {f"users/{CNPJ}/sends/old100", f"users/{CNPJ}/campaigns/LOYALTY/targets/old-sent"}
    )
    # Opt-outs have no end, and a second run finds nothing.
    again = json.loads(run(*arguments, "--yes").stdout)["laundromats"][0]
    assert again["swept"] == []
    assert not may_be_written_to(services, KILLED)
    entry = audit_rows(services)[-1]
    assert entry["action"] == "SWEEP"
    assert entry["after"]["texts_kept_days"] == 365


_TABLE = re.compile(rf"`?{CNPJ}_(\w+?)`?\.`?(\w+)`?")


def test_bigquery_takes_every_statement(traces: Laundromat, analysis: Analysis) -> None:
    """The emulator accepts what BigQuery refuses, so Google's analyzer reads what was run here."""
    [project] = {next(iter(tables)).split(".")[0] for tables in analysis.tables.values() if tables}
    columns = dict.fromkeys(("kind", "value", "text", "others"), "STRING")
    analysis.google_sql.declare(f"{project}.{ALPHANUMERIC_CNPJ}_CAMPAIGN.scratch", columns)

    def translated(match: re.Match[str]) -> str:
        dataset, table = match[1].replace("PREVIEW", "CAMPAIGN"), match[2]
        table = "scratch" if table.startswith("vmhub_scratch_") else table
        name = f"{ALPHANUMERIC_CNPJ}_{dataset}.{table.removesuffix('__baseline')}"
        return f"`{project}.{name}`"

    statements = set()
    for job in bigquery_client(traces.services.environment).list_jobs(
        max_results=10_000, all_users=True
    ):
        sql = getattr(job, "query", None) or ""
        is_ours = "@ids" in sql or "@customer_id" in sql or "kind = '" in sql
        if is_ours or sql.startswith(("delete from", "update ")):
            sql = sql.replace(f"`{traces.services.environment.project}`.", "")
            sql = _TABLE.sub(
                translated, sql.replace("@ids", "['a']").replace("@customer_id", "'a'")
            )
            sql = re.sub(r"`VMHUB_OPS`\.`(\w+)`", rf"`{project}.VMHUB_OPS.\1`", sql)
            statements.add(sql)
    kinds = {sql.split(maxsplit=1)[0] for sql in statements}
    assert kinds >= {"select", "with", "delete", "update", "merge"}
    for sql in statements:
        analysis.google_sql.analyze(sql)
