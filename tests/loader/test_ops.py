"""What runs leave in VMHUB_OPS, in the BigQuery emulator."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from loader.errors import ConfigurationError, ExitCode, RunError, ServiceError
from loader.ops import SyncLog, reject_row
from loader.report import Problem
from loader.sync import SyncOptions
from loader.targets import Outcome
from loader.warehouse import ROWS_A_REQUEST
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
    from loader.session import Session

LATER = AS_OF + timedelta(seconds=90)
PROBLEM = Problem("BIRTHDAY", "c1", Outcome.REJECTED, "the phone is not in E.164")


def _log(session: Session) -> SyncLog:
    instants = iter([AS_OF] + [LATER] * 10_000)
    return SyncLog(
        session.warehouse,
        session.project.ops_tables(),
        cnpj=NUMERIC_CNPJ,
        as_of=AS_OF,
        clock=lambda: next(instants),
    )


def _recorded(session: Session, table: str) -> list[dict[str, Any]]:
    return session.warehouse.query(f"select * from VMHUB_OPS.{table}", doing="reading back")


def test_a_run_is_recorded_in_tables_that_it_creates_itself(session: Session) -> None:
    log = _log(session)
    report = run_sync(
        [make_target("a"), make_target("b", phone="none")], FakeStore(), on_problem=log.problem
    )
    assert log.finished(report) == report
    (run,) = _recorded(session, "sync_runs")
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
    assert _recorded(session, "sync_rejects") == [
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


def test_more_problems_than_a_request_takes_are_all_recorded(session: Session) -> None:
    log = _log(session)
    rows = [make_target(f"c{number}", phone="none") for number in range(1203)]
    log.finished(run_sync(rows, FakeStore(), on_problem=log.problem))
    found = {row["customer_id"] for row in _recorded(session, "sync_rejects")}
    assert found == {target.customer_id for target in rows}
    (run,) = _recorded(session, "sync_runs")
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
    session: Session, error: BaseException, code: int, reason: str | None
) -> None:
    _log(session).failed(error)
    (run,) = _recorded(session, "sync_runs")
    assert (run["exit_code"], run["error"], run["reason"]) == (code, type(error).__name__, reason)
    assert (run["seconds"], run["built_at"]) == (90, None)


def test_two_first_runs_at_once_are_both_recorded(session: Session) -> None:
    logs = [_log(session), _log(session)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda log: log.failed(RunError("it is stale")), logs))
    assert [log.failure for log in logs] == ["", ""]
    assert len(_recorded(session, "sync_runs")) == 2


def test_a_build_and_its_failure_are_recorded(session: Session) -> None:
    make_laundromat(session, NUMERIC_CNPJ)
    report = session.build(NUMERIC_CNPJ, as_of=AS_OF, arguments=["--select", "message_templates"])
    assert report.queries >= 1
    assert (report.not_recorded, report.exit_code) == ("", ExitCode.OK)
    session.warehouse.query(
        f"drop table `{NUMERIC_CNPJ}_RAW`.`clientes`", doing="breaking the laundromat"
    )
    with pytest.raises(ConfigurationError):
        session.build(NUMERIC_CNPJ, as_of=AS_OF)

    good, bad = sorted(_recorded(session, "runs"), key=lambda row: row["started_at"])
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


def test_tracking_leaves_a_row_a_laundromat_with_what_it_took(session: Session) -> None:
    for cnpj in (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ):
        make_laundromat(session, cnpj)
    put_document(session, "a", **sent())
    put_document(session, "b", cnpj=ALPHANUMERIC_CNPJ)
    session.track(None, as_of=AS_OF)
    found = {row["cnpj"]: row["steps"][0] for row in _recorded(session, "runs")}
    assert {
        cnpj: (step["step"], step["documents_read"], step["rows"], step["queries"])
        for cnpj, step in found.items()
    } == {NUMERIC_CNPJ: ("TRACK", 1, 1, 1), ALPHANUMERIC_CNPJ: ("TRACK", 1, 0, 0)}


class _BrokenWarehouse:
    """Takes no rows, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.asked = 0

    def insert(self, *_: Any) -> None:
        self.asked += 1
        message = "recording: BigQuery does not answer"
        raise ServiceError(message)


def test_a_failure_to_record_is_said_once_and_leaves_the_runs_own_outcome(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    broken: Any = _BrokenWarehouse()
    log = SyncLog(broken, session.project.ops_tables(), cnpj=NUMERIC_CNPJ, as_of=AS_OF)
    rows = [make_target(f"c{number}", phone="none") for number in range(2000)]
    plain = run_sync([*rows, make_target("fine")], FakeStore(), on_problem=log.problem)
    report = log.finished(plain)
    assert broken.asked == 1
    assert report.campaigns == plain.campaigns
    assert report.exit_code == plain.exit_code == ExitCode.PARTLY_FAILED
    assert "does not answer" in report.not_recorded
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_session_records_its_runs_but_no_dry_one(session: Session) -> None:
    make_laundromat(session, NUMERIC_CNPJ)
    publish(session.warehouse, NUMERIC_CNPJ, [make_target("a")])
    session.sync(NUMERIC_CNPJ, as_of=AS_OF, options=SyncOptions(is_dry_run=True))
    assert _recorded(session, "sync_runs") == []
    session.sync(NUMERIC_CNPJ, as_of=AS_OF, options=SyncOptions())
    with pytest.raises(RunError):
        session.sync(NUMERIC_CNPJ, as_of=AS_OF - timedelta(days=1), options=SyncOptions())
    runs = sorted(_recorded(session, "sync_runs"), key=lambda run: run["started_at"])
    assert [run["exit_code"] for run in runs] == [ExitCode.OK, ExitCode.FAILED]
    assert [run["counts"] is None for run in runs] == [False, True]
    assert runs[0]["counts"]["BIRTHDAY"] == {"rows": 1, "created": 1}


def test_rows_for_more_than_one_request_all_arrive(session: Session) -> None:
    count = 2 * ROWS_A_REQUEST + 1
    rows = [reject_row("r", NUMERIC_CNPJ, AS_OF, PROBLEM, str(number)) for number in range(count)]
    session.warehouse.insert(session.project.ops_tables()["sync_rejects"], rows)
    [found] = session.warehouse.query(
        "select count(distinct outcome) as rejects from `VMHUB_OPS`.`sync_rejects`",
        doing="counting",
    )
    assert found["rejects"] == count
