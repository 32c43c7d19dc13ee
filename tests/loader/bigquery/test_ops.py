"""The records of runs in VMHUB_OPS, on the BigQuery emulator."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from loader.base.errors import ConfigurationError, ExitCode, RunError, ServiceError
from loader.bigquery.ops import SyncLog, reject_row
from loader.bigquery.warehouse import ROWS_A_REQUEST
from loader.sync.model import Outcome
from loader.sync.report import Problem
from loader.sync.run import SyncOptions
from tests.loader.fakes import FakeStore, make_target
from tests.loader.published import publish
from tests.loader.running import run_sync
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    NUMERIC_CNPJ,
    make_laundromat,
    put_document,
    sent,
)

if TYPE_CHECKING:
    from loader.services import Services

LATER = AS_OF + timedelta(seconds=90)
PROBLEM = Problem("BIRTHDAY", "c1", Outcome.REJECTED, "the phone is not in E.164")


def _log(services: Services) -> SyncLog:
    instants = iter([AS_OF] + [LATER] * 10_000)
    return SyncLog(
        services.warehouse,
        services.project.ops_tables(),
        cnpj=NUMERIC_CNPJ,
        as_of=AS_OF,
        clock=lambda: next(instants),
    )


def _recorded(services: Services, table: str) -> list[dict[str, Any]]:
    return services.warehouse.query(f"select * from VMHUB_OPS.{table}", doing="reading back")


def test_a_run_is_recorded_in_tables_that_it_creates_itself(services: Services) -> None:
    log = _log(services)
    report = run_sync(
        [make_target("a"), make_target("b", phone="none")], FakeStore(), on_problem=log.problem
    )
    assert log.finished(report) == report
    (run,) = _recorded(services, "sync_runs")
    assert run == {
        "run_id": run["run_id"],
        "cnpj": NUMERIC_CNPJ,
        "as_of": AS_OF,
        "built_at": AS_OF,
        "started_at": AS_OF,
        "ended_at": LATER,
        "exit_code": ExitCode.PARTLY_FAILED,
        "error": None,
        "reason": None,
        "rows_read": 2,
        "counts": {"BIRTHDAY": {"rows": 2, "created": 1, "rejected": 1}},
        "problems": 1,
        "documents_read": 0,
        "writes_sent": 1,
        "seconds": report.seconds,
        "cpu_seconds": report.cpu_seconds,
    }
    assert _recorded(services, "sync_rejects") == [
        {
            "run_id": run["run_id"],
            "cnpj": NUMERIC_CNPJ,
            "recorded_at": LATER,
            "campaign_type": "BIRTHDAY",
            "customer_id": "b",
            "outcome": "rejected",
            "reason": "the phone is not in E.164",
        }
    ]


def test_more_problems_than_a_request_takes_are_all_recorded(services: Services) -> None:
    log = _log(services)
    rows = [make_target(f"c{number}", phone="none") for number in range(1203)]
    log.finished(run_sync(rows, FakeStore(), on_problem=log.problem))
    found = {row["customer_id"] for row in _recorded(services, "sync_rejects")}
    assert found == {target.customer_id for target in rows}
    (run,) = _recorded(services, "sync_runs")
    assert run["problems"] == 1203


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (RunError("it is stale"), ExitCode.FAILED, "it is stale"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, None),
        (SystemExit(143), 143, None),
        (ValueError("Ana Exemplo"), ExitCode.FAILED, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_run_that_an_error_ends_is_recorded_with_its_kind(
    services: Services, error: BaseException, code: int, reason: str | None
) -> None:
    _log(services).failed(error)
    (run,) = _recorded(services, "sync_runs")
    assert (run["exit_code"], run["error"], run["reason"]) == (code, type(error).__name__, reason)
    assert (run["seconds"], run["built_at"]) == (90, None)


def test_two_first_runs_at_once_are_both_recorded(services: Services) -> None:
    logs = [_log(services), _log(services)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda log: log.failed(RunError("it is stale")), logs))
    assert [log.failure for log in logs] == ["", ""]
    assert len(_recorded(services, "sync_runs")) == 2


def test_a_build_and_its_failure_are_recorded(services: Services) -> None:
    make_laundromat(services, NUMERIC_CNPJ)
    report = services.build(
        services.laundromat(NUMERIC_CNPJ), as_of=AS_OF, arguments=["--select", "message_templates"]
    )
    assert report.queries >= 1
    assert (report.not_recorded, report.exit_code) == ("", ExitCode.OK)
    services.warehouse.query(
        f"drop table `{NUMERIC_CNPJ}_RAW`.`clientes`", doing="breaking the laundromat"
    )
    with pytest.raises(ConfigurationError):
        services.build(services.laundromat(NUMERIC_CNPJ), as_of=AS_OF)

    good, bad = sorted(_recorded(services, "runs"), key=lambda row: row["started_at"])
    assert (good["cnpj"], good["command"], good["as_of"]) == (NUMERIC_CNPJ, "build", AS_OF)
    assert (good["exit_code"], good["error"], good["reason"]) == (0, None, None)
    [step] = good["steps"]
    assert (step["step"], step["exit_code"]) == ("BUILD", 0)
    assert (step["queries"], step["bytes_billed"]) == (report.queries, report.bytes_billed)
    assert step["seconds"] == pytest.approx(good["seconds"], abs=0.5)
    assert good["cpu_seconds"] == step["cpu_seconds"] > 0
    assert good["peak_memory_mib"] > 50
    assert (bad["exit_code"], bad["error"]) == (ExitCode.CONFIGURATION, "ConfigurationError")
    assert f"table {NUMERIC_CNPJ}_RAW.clientes is missing" in bad["reason"]
    assert [step["exit_code"] for step in bad["steps"]] == [ExitCode.CONFIGURATION]


def test_tracking_leaves_a_row_a_laundromat_with_what_it_took(services: Services) -> None:
    for cnpj in (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ):
        make_laundromat(services, cnpj)
    put_document(services, "a", **sent())
    put_document(services, "b", cnpj=ALPHANUMERIC_CNPJ)
    services.track(None, as_of=AS_OF)
    found = {row["cnpj"]: row["steps"][0] for row in _recorded(services, "runs")}
    assert {
        cnpj: (step["step"], step["documents_read"], step["rows"], step["queries"])
        for cnpj, step in found.items()
    } == {NUMERIC_CNPJ: ("TRACK", 1, 1, 1), ALPHANUMERIC_CNPJ: ("TRACK", 1, 0, 0)}


class _BrokenWarehouse:
    """Refuses rows, and counts the requests."""

    def __init__(self) -> None:
        self.asked = 0

    def insert(self, *_: Any) -> None:
        self.asked += 1
        message = "recording: BigQuery does not answer"
        raise ServiceError(message)


def test_a_failure_to_record_is_said_once_and_leaves_the_runs_own_outcome(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    broken: Any = _BrokenWarehouse()
    log = SyncLog(broken, services.project.ops_tables(), cnpj=NUMERIC_CNPJ, as_of=AS_OF)
    rows = [make_target(f"c{number}", phone="none") for number in range(2000)]
    plain = run_sync([*rows, make_target("fine")], FakeStore(), on_problem=log.problem)
    report = log.finished(plain)
    assert broken.asked == 1
    assert report.campaigns == plain.campaigns
    assert report.exit_code == plain.exit_code == ExitCode.PARTLY_FAILED
    assert "does not answer" in report.not_recorded
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_session_records_its_runs_but_no_dry_one(services: Services) -> None:
    make_laundromat(services, NUMERIC_CNPJ)
    publish(services.warehouse, NUMERIC_CNPJ, [make_target("a")])
    services.sync(
        services.laundromat(NUMERIC_CNPJ), as_of=AS_OF, options=SyncOptions(is_dry_run=True)
    )
    assert _recorded(services, "sync_runs") == []
    services.sync(services.laundromat(NUMERIC_CNPJ), as_of=AS_OF, options=SyncOptions())
    with pytest.raises(RunError):
        services.sync(
            services.laundromat(NUMERIC_CNPJ),
            as_of=AS_OF - timedelta(days=1),
            options=SyncOptions(),
        )
    runs = sorted(_recorded(services, "sync_runs"), key=lambda run: run["started_at"])
    assert [run["exit_code"] for run in runs] == [ExitCode.OK, ExitCode.FAILED]
    assert [run["counts"] is None for run in runs] == [False, True]
    assert runs[0]["counts"]["BIRTHDAY"] == {"rows": 1, "created": 1}


def test_rows_for_more_than_one_request_all_arrive(services: Services) -> None:
    count = 2 * ROWS_A_REQUEST + 1
    rows = [reject_row("r", NUMERIC_CNPJ, AS_OF, PROBLEM, str(number)) for number in range(count)]
    services.warehouse.insert(services.project.ops_tables()["sync_rejects"], rows)
    [found] = services.warehouse.query(
        "select count(distinct outcome) as rejects from `VMHUB_OPS`.`sync_rejects`",
        doing="counting",
    )
    assert found["rejects"] == count
