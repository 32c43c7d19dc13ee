"""`check` checks everything it can, says what to do, and leaves nothing behind."""

from __future__ import annotations

import json
import socket
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from typer.testing import CliRunner

from loader.base.errors import ExitCode
from loader.bigquery.warehouse import SCRATCH_PREFIX
from loader.cli.app import app
from loader.cli.check import check_laundromat, show_check
from loader.cli.output import print_json
from loader.dbt.spec import BuildSpec
from loader.firestore.firestore_probe import signs_of_life
from loader.operations.check.checklist import State
from loader.operations.check.quality import QUALITY
from loader.operations.check.rows import newest_sale_statement, newest_sign_statement
from loader.operations.onboard import onboard
from loader.services import Services
from tests.faults.backends import EmulatorBackend
from tests.faults.bigquery import Request, denying_storage, relaying
from tests.faults.server import Fault, Moment, serving
from tests.googlesql import GoogleSql
from tests.loader.published import publish
from tests.partitions import partition_problems
from tests.support import (
    AS_OF,
    NUMERIC_CNPJ,
    change_settings,
    make_laundromat,
    official_client,
    put_document,
    sent,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loader.bigquery.declaration import Column, SourceTable
    from loader.operations.check.checklist import Check, CheckReport

RAW, CAMPAIGN = f"{NUMERIC_CNPJ}_RAW", f"{NUMERIC_CNPJ}_CAMPAIGN"
USER = f"users/{NUMERIC_CNPJ}"

SALE = {
    "data": "2026-11-23T12:00:00Z",
    "cpfCliente": "52998224725",
    "valor": 20.0,
    "status": "COMPLETED",
}
CUSTOMER = {
    "id": "c1",
    "nome": "Ana Exemplo",
    "telefone": "(11) 90000-0001",
    "cpf": "529.982.247-25",
    "dataNascimento": "1990-05-17T00:00:00Z",
    "dataCadastro": "2026-11-21T13:00:00Z",
}
MESSAGE = {
    "user_id": "c1",
    "campaign_type": "REACTIVATION",
    "sent_at": "2026-11-23T11:00:00Z",
    "updated_at": "2026-11-23T11:30:00Z",
    "status": "SENT",
    "phone": "+5511900000001",
    "message_content": "Olá, Ana!",
}
# Texts that no line may contain.
SECRETS = ("Ana", "Exemplo", "90000", "52998224725", "529.982", "Olá", "customer-7", "c1")


def _make(services: Services, **rows: Iterable[dict[str, Any]]) -> None:
    """Create a laundromat without any problem, except in the given rows."""
    fit: dict[str, Any] = {
        "vendas": [SALE],
        "clientes": [CUSTOMER],
        "message_history": [MESSAGE],
    }
    make_laundromat(services, NUMERIC_CNPJ, **{**fit, **rows})
    publish(services.warehouse, NUMERIC_CNPJ, [])


def _check(services: Services, *, hours: int = 26, as_of: datetime = AS_OF) -> CheckReport:
    return check_laundromat(services, NUMERIC_CNPJ, as_of=as_of, raw_max_age=timedelta(hours=hours))


def _elsewhere(services: Services, **addresses: str) -> Services:
    """Return the same services with other addresses."""
    environment = replace(services.environment, **addresses)  # type: ignore[arg-type] # all texts
    return Services(services.project, environment, services.state_dir, services.parsed)


def _scratch_tables(services: Services) -> list[str]:
    rows = services.warehouse.query(
        f"select table_name from `{CAMPAIGN}`.INFORMATION_SCHEMA.TABLES", doing="listing tables"
    )
    return [row["table_name"] for row in rows if row["table_name"].startswith(SCRATCH_PREFIX)]


def _line(report: CheckReport, name: str, about: str | None = None) -> Check:
    [found] = [
        check for check in report.checks if check.name == name and about in (None, check.about)
    ]
    return found


def _not_ok(report: CheckReport) -> dict[tuple[str, str], State]:
    return {
        (check.name, check.about): check.state
        for check in report.checks
        if check.state is not State.OK
    }


def _replace_raw(services: Services, name: str, **changes: Any) -> None:
    """Recreate a RAW table with a declaration other than the expected one."""
    [declared] = [table for table in services.project.source_tables() if table.name == name]
    services.warehouse.query(f"drop table `{RAW}`.`{name}`", doing="dropping")
    services.warehouse.create_table(replace(declared, **changes), NUMERIC_CNPJ)


def _columns(table: SourceTable, **types: str | None) -> tuple[Column, ...]:
    """Return a table's columns with other types; None leaves a column out."""
    return tuple(
        replace(column, data_type=types.get(column.name) or column.data_type)
        for column in table.columns
        if types.get(column.name, "") is not None
    )


def _source(services: Services, name: str) -> SourceTable:
    [table] = [table for table in services.project.source_tables() if table.name == name]
    return table


# All is well


def test_a_fit_laundromat_passes_every_check_and_nothing_is_left_behind(services: Services) -> None:
    _make(services)
    report = _check(services)
    assert _not_ok(report) == {}
    assert report.exit_code == ExitCode.OK
    kinds = [check.name for check in report.checks]
    assert list(dict.fromkeys(kinds)) == [
        "registry",
        "settings",
        "scratch document",
        "dataset",
        "columns",
        "layout",
        "query",
        "scratch table",
        "reading",
        "recording",
        "newest sale",
        "newest registration",
        "phones",
        "cpfs",
        "names",
        "birth dates",
        "sales",
        "statuses",
        "coupons",
        "opt-outs",
        "last build",
        "sender",
        "pending targets",
        "templates",
    ]
    assert {check.about for check in report.checks if check.name == "columns"} == {
        f"{table.dataset(NUMERIC_CNPJ)}.{table.name}" for table in services.project.source_tables()
    }
    assert _line(report, "newest sale").found == "2026-11-23 12:00:00Z, 1 h 0 min ago"
    assert _line(report, "newest registration").found == "2026-11-21 13:00:00Z, 2 days ago"
    assert _line(report, "sender").found == "2026-11-23 11:30:00Z, 1 h 30 min ago"
    assert _line(report, "last build").found == "2026-11-23 13:00:00Z, 0 min ago"
    assert _scratch_tables(services) == []
    # Onboarding is in the audit log.
    for name in services.project.ops_tables().keys() - {"audit"}:
        [row] = services.warehouse.query(f"select count(*) as n from VMHUB_OPS.{name}", doing="x")
        assert row["n"] == 0
    operations = official_client(services.environment).collection(f"{USER}/operations")
    assert list(operations.list_documents()) == []


def test_the_scratch_table_expires_so_that_a_killed_check_leaves_nothing_for_long(
    services: Services,
) -> None:
    _make(services)
    url = services.environment.bigquery_url
    assert url is not None
    with relaying(url) as relay:
        relayed = _elsewhere(services, bigquery_url=relay.url)
        report = _check(relayed)
    assert _line(report, "scratch table").state is State.OK
    created = [
        request.body
        for request in relay.requests
        if request.method == "POST" and request.path.split("?")[0].endswith(f"{CAMPAIGN}/tables")
    ]
    [scratch] = created
    assert scratch["tableReference"]["tableId"].startswith(SCRATCH_PREFIX)
    # Milliseconds since 1970, by the machine's own clock.
    assert int(scratch["expirationTime"]) > 1_700_000_000_000


# Registry and settings


def test_who_is_not_registered_is_told_how_and_all_else_is_checked(services: Services) -> None:
    _make(services)
    official_client(services.environment).document(USER).delete()
    report = _check(services)
    assert _not_ok(report) == {
        ("registry", USER): State.FIX,
        ("settings", USER): State.SKIPPED,
        ("templates", USER): State.SKIPPED,
    }
    assert "vmhub onboard" in _line(report, "registry").fix
    assert _line(report, "settings").found == f"not checked: needs registry {USER}, see there"
    assert report.exit_code == ExitCode.CONFIGURATION


def test_a_bad_setting_of_a_campaign_is_named_with_its_document(services: Services) -> None:
    _make(services)
    change_settings(services, NUMERIC_CNPJ, max_attempts=2)
    campaign = official_client(services.environment).document(f"{USER}/campaigns/LOYALTY")
    campaign.update({"settings": {"loyalty_min_visits": "many"}})
    report = _check(services)
    assert _not_ok(report) == {("settings", USER): State.FIX}
    settings = _line(report, "settings")
    assert settings.found == f"{USER}/campaigns/LOYALTY has loyalty_min_visits=a text"
    assert settings.fix == "it takes a whole number from 1 to 1000"


# Datasets and tables


def test_a_missing_raw_dataset_is_said_once_and_what_builds_on_it_is_skipped(
    services: Services,
) -> None:
    onboard(
        services.project,
        services.warehouse,
        services.registry,
        cnpj=NUMERIC_CNPJ,
        name="Lava Bem",
        audit=services.new_audit_log("test"),
    )
    report = _check(services)
    assert [check.about for check in report.checks if check.state is State.FIX] == [RAW]
    assert "point-of-sale export" in _line(report, "dataset", RAW).fix
    skipped = {(check.name, check.about) for check in report.checks if check.state is State.SKIPPED}
    assert skipped == {
        ("columns", f"{RAW}.clientes"),
        ("columns", f"{RAW}.vendas"),
        ("layout", f"{RAW}.vendas"),
        ("reading", f"{RAW}.clientes"),
        ("reading", f"{RAW}.vendas"),
        ("newest sale", f"{RAW}.vendas"),
        ("newest registration", f"{RAW}.clientes"),
        ("phones", f"{RAW}.clientes"),
        ("cpfs", f"{RAW}.clientes"),
        ("names", f"{RAW}.clientes"),
        ("birth dates", f"{RAW}.clientes"),
        ("sales", f"{RAW}.vendas"),
        ("statuses", f"{RAW}.vendas"),
        ("coupons", f"{RAW}.vendas"),
        ("opt-outs", f"{CAMPAIGN}.opt_outs"),
    }
    assert _line(report, "columns", f"{CAMPAIGN}.message_history").state is State.OK
    assert report.exit_code == ExitCode.CONFIGURATION


def test_a_laundromat_that_nothing_was_created_for_is_told_to_be_onboarded(
    services: Services,
) -> None:
    report = _check(services)
    fixes = {check.about: check.fix for check in report.checks if check.name == "dataset"}
    assert list(fixes) == [RAW, CAMPAIGN, "VMHUB_OPS"]
    assert "vmhub onboard" in fixes[CAMPAIGN]
    assert "vmhub onboard" in fixes["VMHUB_OPS"]
    # Documents and queries do not need the dataset.
    assert _line(report, "scratch document").state is State.OK
    assert _line(report, "query").state is State.OK


def test_missing_and_wrongly_typed_columns_are_named_and_their_rows_not_asked(
    services: Services,
) -> None:
    _make(services)
    sales, customers = _source(services, "vendas"), _source(services, "clientes")
    _replace_raw(services, "vendas", columns=_columns(sales, cupom=None))
    _replace_raw(services, "clientes", columns=_columns(customers, cpf="INT64"))
    report = _check(services)
    assert _line(report, "columns", f"{RAW}.vendas").found == (
        f"column {RAW}.vendas.cupom (STRING) is missing"
    )
    assert _line(report, "columns", f"{RAW}.clientes").found == (
        f"column {RAW}.clientes.cpf is INT64 instead of STRING"
    )
    states = _not_ok(report)
    assert states["columns", f"{RAW}.vendas"] is State.FIX
    assert states["columns", f"{RAW}.clientes"] is State.FIX
    assert states["newest sale", f"{RAW}.vendas"] is State.SKIPPED
    assert states["cpfs", f"{RAW}.clientes"] is State.SKIPPED


def test_raw_sales_that_are_not_partitioned_are_a_warning_about_cost(services: Services) -> None:
    _make(services)
    _replace_raw(services, "vendas", partition_by=None, cluster_by=())
    services.warehouse.append(_source(services, "vendas"), NUMERIC_CNPJ, [SALE])
    report = _check(services)
    assert _not_ok(report) == {("layout", f"{RAW}.vendas"): State.WARNING}
    layout = _line(report, "layout", f"{RAW}.vendas")
    assert layout.found == (
        "neither partitioned nor clustered, "
        "instead of partitioned by day of data, clustered by cpfCliente"
    )
    assert "bill" in layout.fix
    assert report.exit_code == ExitCode.OK


def test_raw_sales_that_are_clustered_otherwise_are_a_warning(services: Services) -> None:
    _make(services)
    _replace_raw(services, "vendas", cluster_by=("status",))
    services.warehouse.append(_source(services, "vendas"), NUMERIC_CNPJ, [SALE])
    report = _check(services)
    assert _not_ok(report) == {("layout", f"{RAW}.vendas"): State.WARNING}
    assert "clustered by status, instead of" in _line(report, "layout", f"{RAW}.vendas").found


def test_a_table_of_our_own_that_is_laid_out_otherwise_is_to_be_fixed(services: Services) -> None:
    _make(services)
    history = _source(services, "message_history")
    services.warehouse.query(f"drop table `{CAMPAIGN}`.message_history", doing="dropping")
    services.warehouse.create_table(replace(history, cluster_by=("user_id",)), NUMERIC_CNPJ)
    services.warehouse.append(history, NUMERIC_CNPJ, [MESSAGE])
    report = _check(services)
    assert _not_ok(report) == {("layout", f"{CAMPAIGN}.message_history"): State.FIX}
    assert report.exit_code == ExitCode.CONFIGURATION


def test_a_dataset_where_no_query_runs_is_named_with_its_place(services: Services) -> None:
    _make(services)
    elsewhere = _elsewhere(services, location="southamerica-east1")
    dataset = _line(_check(elsewhere), "dataset", RAW)
    assert dataset.state is State.FIX
    assert dataset.found == "it is in US, and queries run in southamerica-east1"
    assert dataset.fix.startswith("set VMHUB_BIGQUERY_LOCATION=US")


# Permissions


def _is_creation(request: Request) -> bool:
    return request.method == "POST" and request.path.split("?")[0].endswith("/tables")


def _is_filling(request: Request) -> bool:
    return request.method == "POST" and "insert into" in json.dumps(request.body)


def _is_recording(request: Request) -> bool:
    return request.path.split("?")[0].endswith("/sync_rejects/insertAll")


def _is_query(request: Request) -> bool:
    return request.method == "POST" and request.path.split("?")[0].endswith(("/jobs", "/queries"))


@pytest.mark.parametrize(
    ("is_denied", "denied", "doing"),
    [
        (_is_creation, ("scratch table", CAMPAIGN), "creating a scratch table"),
        (_is_filling, ("scratch table", CAMPAIGN), "writing into a scratch table"),
        (_is_recording, ("recording", "VMHUB_OPS.sync_rejects"), "recording in"),
    ],
    ids=["creating", "filling", "recording"],
)
def test_what_bigquery_denies_is_one_line_with_the_fix_and_ends_no_other_check(
    services: Services, is_denied: Any, denied: tuple[str, str], doing: str
) -> None:
    _make(services)
    report, deleted = _check_denied(services, is_denied)
    assert _not_ok(report) == {denied: State.FIX}
    line = _line(report, *denied)
    assert line.found.startswith(doing)
    assert "permission denied" in line.found
    assert "docs/real-project.md" in line.fix
    assert report.exit_code == ExitCode.CONFIGURATION
    # The created table is dropped even if it could not be filled.
    assert deleted == (0 if is_denied is _is_creation else 1)


def test_who_may_run_no_query_is_told_so_in_each_line_that_needs_one(services: Services) -> None:
    _make(services)
    report, _ = _check_denied(services, _is_query)
    states = _not_ok(report)
    assert states["query", "BigQuery"] is State.FIX
    assert states["newest sale", f"{RAW}.vendas"] is State.FIX
    # Looking at tables is another permission.
    assert _line(report, "columns", f"{RAW}.vendas").state is State.OK


def _check_denied(services: Services, is_denied: Any) -> tuple[CheckReport, int]:
    """Return a check's report when BigQuery denies something, and the number of deleted tables."""
    url = services.environment.bigquery_url
    assert url is not None
    with relaying(url) as relay:
        relay.is_denied = is_denied
        denied = _elsewhere(services, bigquery_url=relay.url)
        report = _check(denied)
    return report, sum(request.method == "DELETE" for request in relay.requests)


@pytest.mark.parametrize(
    ("method", "calls", "doing"),
    [("Commit", (1,), "writing"), ("GetDocument", (2,), "reading"), ("Commit", (2,), "deleting")],
    ids=["writing", "reading", "deleting"],
)
def test_what_firestore_denies_is_one_line_with_the_fix(
    services: Services, method: str, calls: tuple[int, ...], doing: str
) -> None:
    _make(services)
    host = services.environment.firestore_host
    assert host is not None
    with serving(EmulatorBackend(host)) as server:
        server.plan = [Fault(method, Moment.BEFORE, grpc.StatusCode.PERMISSION_DENIED, calls)]
        denied = _elsewhere(services, firestore_host=server.host)
        report = _check(denied)
    place = f"{USER}/operations/check"
    assert _not_ok(report) == {("scratch document", place): State.FIX}
    line = _line(report, "scratch document")
    assert line.found.startswith(f"{doing} {place}: ")
    assert "PERMISSION_DENIED" in line.found
    assert "docs/real-project.md" in line.fix
    assert report.exit_code == ExitCode.CONFIGURATION


def test_who_may_not_use_the_storage_read_api_is_told_so(services: Services) -> None:
    _make(services)
    with denying_storage() as host:
        report = _check(_elsewhere(services, bigquery_storage_host=host))
    assert _not_ok(report) == {
        ("scratch table", CAMPAIGN): State.FIX,
        ("last build", f"{CAMPAIGN}.campaign_targets"): State.FIX,
    }
    scratch = _line(report, "scratch table")
    assert scratch.found.startswith(f"reading {CAMPAIGN} with the Storage Read API: permission")
    assert _scratch_tables(services) == []


def test_a_missing_index_is_a_line_with_the_command_that_creates_it(services: Services) -> None:
    _make(services)
    host = services.environment.firestore_host
    assert host is not None
    code = grpc.StatusCode.FAILED_PRECONDITION
    with serving(EmulatorBackend(host)) as server:
        server.plan = [Fault("RunQuery", Moment.BEFORE, code)]
        report = _check(_elsewhere(services, firestore_host=server.host))
    assert _not_ok(report) == {
        ("sender", USER): State.FIX,
        ("pending targets", USER): State.SKIPPED,
    }
    assert "firebase deploy --only firestore:indexes" in _line(report, "sender").fix


def test_a_bigquery_that_is_silent_is_waited_for_once_and_firestore_is_checked(
    services: Services,
) -> None:
    _make(services)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        report = _check(_elsewhere(services, bigquery_url=url))
    assert report.exit_code == ExitCode.FAILED
    assert [check.about for check in report.checks if check.state is State.FAILED] == [RAW]
    assert _line(report, "dataset", RAW).found.endswith("does not answer")
    assert _line(report, "phones").found == "not checked: BigQuery does not answer"
    assert _line(report, "scratch document").state is State.OK
    assert _line(report, "pending targets").state is State.OK


def test_a_firestore_that_is_not_there_is_waited_for_once_and_bigquery_is_checked(
    services: Services,
) -> None:
    _make(services)
    report = _check(_elsewhere(services, firestore_host="127.0.0.1:1"))
    assert report.exit_code == ExitCode.FAILED
    assert _not_ok(report) == {
        ("registry", USER): State.FAILED,
        ("settings", USER): State.SKIPPED,
        ("scratch document", f"{USER}/operations/check"): State.SKIPPED,
        ("sender", USER): State.SKIPPED,
        ("templates", USER): State.SKIPPED,
        ("pending targets", USER): State.SKIPPED,
    }


# Freshness


def test_sales_that_are_older_than_allowed_are_a_warning(services: Services) -> None:
    _make(services, vendas=[{**SALE, "data": "2026-11-22T10:59:00Z"}])
    report = _check(services)
    assert _not_ok(report) == {("newest sale", f"{RAW}.vendas"): State.WARNING}
    sale = _line(report, "newest sale")
    assert sale.found == "2026-11-22 10:59:00Z, 26 h 1 min ago"
    assert sale.figures["age_hours"] == 26.0
    assert report.exit_code == ExitCode.OK
    assert _line(_check(services, hours=27), "newest sale").state is State.OK


def test_sales_of_the_future_or_long_ago_are_not_the_newest_sale(services: Services) -> None:
    rows = [{**SALE, "data": at} for at in ("2026-11-24T00:00:00Z", "2026-10-01T00:00:00Z")]
    _make(services, vendas=rows)
    sale = _line(_check(services), "newest sale")
    assert (sale.state, sale.found) == (State.WARNING, "none within 31 days")


def test_the_queries_for_the_newest_prune_partitions(services: Services) -> None:
    tables = services.project.source_tables()
    span = {"since": AS_OF - timedelta(days=31), "until": AS_OF}
    for sql, table in (
        (newest_sale_statement(NUMERIC_CNPJ, **span), "vendas"),
        (newest_sign_statement(NUMERIC_CNPJ, **span), "message_history"),
    ):
        reads = partition_problems(sql, tables)
        assert (reads.compared, reads.unfiltered, reads.problems) == ([table], [], [])


def test_bigquerys_own_analyzer_takes_the_queries(services: Services) -> None:
    google_sql = GoogleSql()
    project = services.environment.project
    for table in services.project.source_tables():
        google_sql.declare(
            f"{project}.{table.dataset(NUMERIC_CNPJ)}.{table.name}",
            {column.name: column.data_type for column in table.columns},
        )
    span = {"since": AS_OF - timedelta(days=31), "until": AS_OF}
    for sql in (
        newest_sale_statement(NUMERIC_CNPJ, **span),
        newest_sign_statement(NUMERIC_CNPJ, **span),
    ):
        # The analyzer knows no default project.
        full = sql.replace(f"`{NUMERIC_CNPJ}", f"`{project}`.`{NUMERIC_CNPJ}")
        assert list(google_sql.analyze(full)) == ["newest"]
    compiled = services.dbt.compile_sql(BuildSpec({"cnpj": NUMERIC_CNPJ}, AS_OF), QUALITY)
    assert list(google_sql.analyze(compiled)) == ["field", "problem", "row_count"]
    reads = partition_problems(compiled, services.project.source_tables())
    assert reads.problems == []


# Quality


def test_phones_and_cpfs_are_counted_once_a_customer_by_the_newest_registration(
    services: Services,
) -> None:
    def customer(id_: str, telefone: str | None, cpf: str | None, day: int = 1) -> dict[str, Any]:
        at = f"2026-11-{day:02}T00:00:00Z"
        return {**CUSTOMER, "id": id_, "telefone": telefone, "cpf": cpf, "dataCadastro": at}

    rows = [
        customer("a", "(11) 90000-0001", "529.982.247-25"),
        # The older registration of the same customer had both.
        customer("b", "+55 11 90000-0002", "52998224725", day=1),
        customer("b", "none", None, day=2),
        customer("c", "1190000-0003", "11111111111"),
        customer("d", None, "123.456.789-09"),
        customer("e", "4321", ""),
        customer("f", "", None),
        customer("g", "9", None),
        # No customers at all, or only one who registers tomorrow.
        customer(" ", "(11) 90000-0004", "52998224725"),
        customer("h", "(11) 90000-0005", "52998224725", day=24),
    ]
    _make(services, clientes=rows)
    report = _check(services)
    phones, cpfs = _line(report, "phones"), _line(report, "cpfs")
    expected = {"usable": 2, "total": 7, "percent": 28.6}
    phone_problems = {"missing": 2, "no_number": 1, "too_short": 2}
    cpf_problems = {"missing": 4, "placeholder": 1}
    assert phones.figures == {**expected, "problems": phone_problems}
    assert phones.found == ("28.6% usable: 2 of 7 customers (2 missing, 1 no_number, 2 too_short)")
    assert cpfs.figures == {**expected, "problems": cpf_problems}
    assert {phones.state, cpfs.state} == {State.WARNING}
    assert "INVALID_PHONE" in phones.fix


def test_what_cannot_be_used_is_counted_by_its_reason_and_no_value_is_shown(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    customers: list[dict[str, Any]] = []

    def add(**columns: Any) -> None:
        customers.append(
            {
                **CUSTOMER,
                "id": f"customer {len(customers)}",
                "telefone": f"1191000{len(customers):04d}",
                "cpf": f"8{len(customers):010d}",
                "dataNascimento": f"{1930 + len(customers)}-05-17T00:00:00Z",
                **columns,
            }
        )

    phones = {
        "+51 987 651 012": "foreign",
        "(11) 99999-9999": "placeholder",
        "0000000000": "placeholder",
        "(11) 3333-4444": "landline",
        "96666-1006": "too_short",
        "sem telefone": "no_number",
        "119876543210123": "unreadable",
        "\u200b": "missing",
        **{f"11 95555-0001{' ' * number}": "shared_by_too_many" for number in range(4)},
    }
    cpfs = {
        "***.456.789-**": "masked",
        "1,23457E+10": "rounded",
        "999.999.999-99": "placeholder",
        "FZ123456": "unreadable",
        "12345678": "too_short",
        "11.222.333/0001-81": "too_long",
        "não tem": "no_number",
        **{f"529.982.247-25{' ' * number}": "shared_by_too_many" for number in range(5)},
    }
    names = {
        "CONSUMIDOR FINAL": "placeholder",
        "https://evil.example/pix": "unreadable",
        "\u3164": "missing",
    }
    births = {"1899-12-31": "impossible_date", "2026-12-01": "impossible_date"}
    for telefone in phones:
        add(telefone=telefone)
    for cpf in cpfs:
        add(cpf=cpf)
    for nome in names:
        add(nome=nome)
    for born in births:
        add(dataNascimento=f"{born}T00:00:00Z")
    for _ in range(6):
        add(dataNascimento="1980-01-01T00:00:00Z")
    sales = [
        {**SALE, **columns}
        for columns in (
            {"cupom": "VOLTA10"},
            {"cupom": "sem cupom"},
            {"cupom": "?"},
            {"status": " completed "},
            {"status": None},
            {"status": "CANCELLED"},
            {"status": "CANCELLED"},
            {"status": "CANCELLED", "data": "2026-10-01T12:00:00Z"},
        )
    ]
    opt_outs = [
        {"phone": "+5511900000009"},
        {"phone": "96666-1006"},
        {"phone": "511966661009@lid"},
        {"user_id": "customer-7"},
        {"phone": "5511900000008", "opted_out_at": "2026-11-01T00:00:00Z"}
        | {"resumed_at": "2026-11-02T00:00:00Z"},
    ]
    _make(services, clientes=customers, vendas=sales, opt_outs=opt_outs)
    change_settings(
        services,
        NUMERIC_CNPJ,
        max_customers_per_phone=3,
        max_customers_per_cpf=4,
        min_placeholder_birth_dates=6,
    )

    report = _check(services)

    def problems(name: str) -> dict[str, int]:
        found: dict[str, int] = _line(report, name).figures["problems"]
        return found

    assert problems("phones") == Counter(phones.values())
    assert problems("cpfs") == Counter(cpfs.values())
    assert problems("names") == Counter(names.values())
    assert problems("birth dates") == {"impossible_date": 2, "shared_by_too_many": 6}
    assert problems("statuses") == {"missing": 1, "not_completed": 2}
    assert problems("sales") == {"repeated": 1}
    assert problems("coupons") == {"placeholder": 1, "unreadable": 1}
    assert problems("opt-outs") == {"no_area_code": 1, "unreadable": 1}
    # It stays a warning until somebody settles these rows.
    assert _line(report, "opt-outs").state is State.WARNING
    assert _line(report, "opt-outs").figures["total"] == 4
    show_check(report)
    print_json(report)
    shown = capsys.readouterr().out
    written = [*phones, *cpfs, *names, *births, "VOLTA10", "CANCELLED", "customer-7", "96666"]
    assert [text for text in written if text.strip(" \u200b\u3164") and text in shown] == []
    # The same rows are usable as those that a build uses.
    spec = BuildSpec(services.laundromat(NUMERIC_CNPJ).settings, AS_OF)
    [built] = services.warehouse.query(
        services.dbt.compile_sql(
            spec,
            "select count(phone) as phones, count(cpf) as cpfs, count(born_on) as births "
            "from {{ ref('stg_customers') }}",
        ),
        doing="counting what a build uses",
    )
    lines = [_line(report, name).figures["usable"] for name in ("phones", "cpfs", "birth dates")]
    assert lines == [built["phones"], built["cpfs"], built["births"]]


def test_nobody_registered_is_a_warning(services: Services) -> None:
    _make(services, clientes=[])
    report = _check(services)
    place = f"{RAW}.clientes"
    assert _not_ok(report) == {
        (name, place): State.WARNING
        for name in ("newest registration", "phones", "cpfs", "names", "birth dates")
    }
    assert _line(report, "phones").figures["percent"] is None


# The sender, and the last build


def test_no_sender_is_a_warning(services: Services) -> None:
    _make(services, message_history=[])
    report = _check(services)
    assert _not_ok(report) == {("sender", USER): State.WARNING}
    assert "integration" in _line(report, "sender").fix


def test_targets_that_nobody_takes_are_counted_and_named_with_the_time_they_wait(
    services: Services,
) -> None:
    _make(services, message_history=[])
    for number in range(3):
        put_document(services, f"customer-7{number}", expiresAt=AS_OF + timedelta(hours=9))
    put_document(services, "expired", expiresAt=AS_OF, createdAt=AS_OF - timedelta(days=1))
    report = _check(services)
    pending = _line(report, "pending targets")
    assert pending.state is State.WARNING
    assert pending.found == "3 pending, 0 of them claimed, the oldest since 2026-11-23 12:00:00Z"
    assert pending.figures == {
        "pending": 3,
        "claimed": 0,
        "waiting_since": AS_OF - timedelta(hours=1),
    }
    # Writes by a sync are not signs of a sender.
    assert _line(report, "sender").state is State.WARNING


@pytest.mark.parametrize(
    ("fields", "seen_at"),
    [
        (sent(at=AS_OF - timedelta(minutes=4)), AS_OF - timedelta(minutes=4)),
        (
            {
                "claimedUntil": AS_OF + timedelta(minutes=5),
                "updatedAt": AS_OF - timedelta(minutes=1),
            },
            AS_OF - timedelta(minutes=1),
        ),
        (
            {"status": "FAILED", "attempts": 1, "updatedAt": AS_OF - timedelta(minutes=9)},
            AS_OF - timedelta(minutes=9),
        ),
    ],
    ids=["sent", "claimed", "failed without a log"],
)
def test_a_sender_that_works_is_seen_in_the_documents_and_may_take_its_time(
    services: Services, fields: dict[str, Any], seen_at: Any
) -> None:
    _make(services, message_history=[])
    put_document(services, "waits")
    put_document(services, "taken", **fields)
    report = _check(services)
    assert _not_ok(report) == {}
    assert _line(report, "sender").figures["newest"] == seen_at


def test_a_sender_whose_clock_is_behind_is_named_until_everything_was_read(
    services: Services,
) -> None:
    _make(services, message_history=[])
    # Sent a minute ago, by a clock that shows local time.
    now = datetime.now(UTC)
    put_document(services, "behind", **sent(at=now - timedelta(hours=3)))
    put_document(services, "right", **sent(at=now))
    put_document(services, "waits", createdAt=now, updatedAt=now - timedelta(hours=3))
    sender = _line(_check(services, as_of=now), "sender")
    assert (sender.state, sender.figures["misdated"]) == (State.WARNING, 1)
    assert "vmhub track" in sender.fix
    services.registry.set_tracked({NUMERIC_CNPJ: datetime.now(UTC)}, until=now)
    sender = _line(_check(services, as_of=now), "sender")
    assert (sender.state, sender.fix) == (State.OK, "")


def test_targets_that_were_created_a_moment_ago_are_no_trouble(services: Services) -> None:
    _make(services)
    put_document(services, "new", createdAt=AS_OF - timedelta(minutes=14))
    assert _line(_check(services), "pending targets").state is State.OK
    put_document(services, "older", createdAt=AS_OF - timedelta(minutes=16))
    assert _line(_check(services), "pending targets").state is State.WARNING


def test_what_a_sync_writes_is_no_sign_of_life() -> None:
    hour = timedelta(hours=1)
    attempt = {"attempt": 1, "at": AS_OF - hour, "status": "FAILED"}
    requeued = {"status": "PENDING", "attempts": 1, "attemptLog": [attempt], "updatedAt": AS_OF}
    assert list(signs_of_life({"status": "PENDING", "attempts": 0, "updatedAt": AS_OF})) == []
    assert list(signs_of_life(requeued)) == [AS_OF - hour]
    assert list(signs_of_life({**requeued, "status": "FAILED"})) == [AS_OF - hour]
    delivered = {**requeued, "status": "DELIVERED", "deliveredAt": AS_OF - hour / 2}
    assert set(signs_of_life(delivered)) == {AS_OF - hour, AS_OF - hour / 2, AS_OF}


def test_a_build_that_is_too_old_to_be_synced_is_a_warning_and_so_is_none(
    services: Services,
) -> None:
    _make(services)
    publish(services.warehouse, NUMERIC_CNPJ, [], built_at=AS_OF - timedelta(hours=3))
    build = _line(_check(services), "last build")
    assert (build.state, build.found) == (State.WARNING, "2026-11-23 10:00:00Z, 3 h 0 min ago")
    services.warehouse.query(f"drop table `{CAMPAIGN}`.target_publication", doing="dropping")
    build = _line(_check(services), "last build")
    assert (build.state, build.found) == (State.WARNING, "nothing was published yet")
    assert "vmhub build" in build.fix


# How it is shown


def test_the_lines_and_the_object_name_nobody_and_have_the_same_shape_every_time(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    _make(services)
    put_document(services, "customer-7", **sent(at=AS_OF - timedelta(minutes=4)))
    put_document(services, "customer-71")
    report = _check(services)
    show_check(report)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(report.checks) + 1
    assert all(line.startswith("ok       ") for line in lines[:-1])
    assert lines[-1] == (f"{NUMERIC_CNPJ} as of 2026-11-23 13:00:00Z: {len(report.checks)} ok")
    print_json(report)
    text = capsys.readouterr().out
    content = json.loads(text)
    assert list(content) == ["cnpj", "as_of", "checks"]
    assert {tuple(check) for check in content["checks"]} == {
        ("name", "about", "state", "found", "fix", "figures")
    }
    [sale] = [check for check in content["checks"] if check["name"] == "newest sale"]
    assert sale == {
        "name": "newest sale",
        "about": f"{RAW}.vendas",
        "state": "ok",
        "found": "2026-11-23 12:00:00Z, 1 h 0 min ago",
        "fix": "",
        "figures": {"newest": "2026-11-23T12:00:00Z", "age_hours": 1.0},
    }
    assert not any(secret in "\n".join(lines) + text for secret in SECRETS)


def test_the_command_ends_with_the_reports_exit_code(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make(services)
    change_settings(services, NUMERIC_CNPJ, max_attempts=0)
    for name, value in services.environment.variables().items():
        monkeypatch.setenv(name, value)
    arguments = ["check", "--cnpj", NUMERIC_CNPJ, "--as-of", AS_OF.isoformat(), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == ExitCode.CONFIGURATION
    content = json.loads(result.stdout)
    assert [check["name"] for check in content["checks"] if check["state"] == "fix"] == ["settings"]
