"""`vmhub status` from the command line, on rows of VMHUB_OPS in the BigQuery emulator."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from loader.base.cnpj import with_check_digits
from loader.base.environment import ALERT_URLS_VARIABLE
from loader.base.errors import ConfigurationError, ExitCode, ServiceError
from loader.cli.app import app
from loader.cli.status import status_of_fleet
from loader.operations.onboard import onboard
from loader.operations.status import cost_queries, statements
from loader.operations.status.costs import Month
from loader.operations.status.facts import Limits
from loader.operations.status.queries import read_facts
from loader.operations.status.receivers import Receivers
from tests.googlesql import GoogleSql
from tests.loader.alert_receiver import SECRET, alert_receiver
from tests.partitions import partition_problems
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, NUMERIC_CNPJ, make_laundromat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

    from loader.dbt.project import Project
    from loader.services import Services
    from tests.loader.alert_receiver import AlertReceiver

HOUR = timedelta(hours=1)
NOVEMBER = Month.parse("2026-11")
CLOSED_CNPJ = with_check_digits("114447770001")
CUSTOMER = {
    "id": "c1",
    "nome": "Ana Exemplo",
    "telefone": "11900000001",
    "cpf": "52998224725",
    "dataCadastro": "2026-11-01T00:00:00Z",
}
PERSONAL = ("Ana", "Exemplo", "11900000001", "52998224725")


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with alert_receiver() as receiver:
        yield receiver


def _put(services: Services, table: str, *rows: dict[str, Any]) -> None:
    services.warehouse.insert(services.project.ops_tables()[table], rows)


def _run_row(
    cnpj: str, began: datetime, exit_code: int | None = 0, **columns: Any
) -> dict[str, Any]:
    return {
        "run_id": f"{cnpj} {began}",
        "fleet_run_id": f"fleet {began}",
        "cnpj": cnpj,
        "command": "run",
        "as_of": began.isoformat(),
        "started_at": began.isoformat(),
        "ended_at": (began + timedelta(seconds=9)).isoformat(),
        "exit_code": exit_code,
        "seconds": 9.0,
        "cpu_seconds": 1.0,
        "peak_memory_mib": 300.0,
        "steps": "[]",
        **columns,
    }


def _fleet_row(began: datetime, shard: str | None = "0/1", **columns: Any) -> dict[str, Any]:
    return {
        "fleet_run_id": f"fleet {began}",
        "shard": shard,
        "started_at": began.isoformat(),
        "ended_at": (began + timedelta(minutes=10)).isoformat(),
        "jobs": 2,
        "laundromats": 2,
        "counts": json.dumps({"ok": 1, "failed": 1}),
        "exit_code": 3,
        "seconds": 600.0,
        "cpu_seconds": 60.0,
        "peak_memory_mib": 400.0,
        **columns,
    }


def _failed_row(cnpj: str, began: datetime) -> dict[str, Any]:
    steps = [{"step": "TRACK", "exit_code": 0}, {"step": "BUILD", "exit_code": 2}]
    return _run_row(
        cnpj,
        began,
        2,
        error="ConfigurationError",
        reason=f"table {cnpj}_RAW.clientes is missing",
        steps=json.dumps(steps),
    )


@pytest.fixture
def now(services: Services) -> datetime:
    """Two laundromats, one of which fails; returns an instant just after RAW data arrived."""
    for cnpj in (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ):
        make_laundromat(services, cnpj, clientes=[CUSTOMER])
    modified = [
        services.warehouse.modified_at(f"{cnpj}_RAW", "vendas")
        for cnpj in (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ)
    ]
    assert None not in modified
    return max(instant for instant in modified if instant) + timedelta(minutes=5)


def _play_hours(services: Services, now: datetime, hours: int = 3) -> None:
    for ago in range(hours, 0, -1):
        began = now - ago * HOUR
        _put(
            services,
            "runs",
            _run_row(NUMERIC_CNPJ, began, 3),
            _failed_row(ALPHANUMERIC_CNPJ, began),
        )
        _put(services, "fleet_runs", _fleet_row(began))


def _invoke(
    services: Services, monkeypatch: pytest.MonkeyPatch, now: datetime, *arguments: str
) -> Result:
    for name, value in services.environment.variables().items():
        monkeypatch.setenv(name, value)
    return CliRunner().invoke(app, ["status", "--as-of", now.isoformat(), *arguments])


def test_status_says_who_fails_since_when_and_what_took_most(
    services: Services, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    _play_hours(services, now)
    ended = _invoke(services, monkeypatch, now, "--json")
    assert ended.exit_code == ExitCode.PARTLY_FAILED
    report = json.loads(ended.stdout)
    [run] = report["runs"]
    assert (run["shard"], run["counts"]) == ({"index": 0, "count": 1}, {"ok": 1, "failed": 1})
    [failing] = report["failing"]
    assert {name: failing[name] for name in ("cnpj", "failures", "step", "error", "reason")} == {
        "cnpj": ALPHANUMERIC_CNPJ,
        "failures": 3,
        "step": "BUILD",
        "error": "ConfigurationError",
        "reason": f"table {ALPHANUMERIC_CNPJ}_RAW.clientes is missing",
    }
    assert datetime.fromisoformat(failing["failing_since"]) == now - 3 * HOUR
    assert report["with_problems"] == [NUMERIC_CNPJ]
    assert (report["laundromats_served"], report["laundromats_failed"]) == (2, 1)
    assert {item["cnpj"] for item in report["slowest"]} == {NUMERIC_CNPJ, ALPHANUMERIC_CNPJ}
    assert set(report["alerts"]) == {f"failing:{ALPHANUMERIC_CNPJ}"}
    assert (report["stale_raw"], report["delivery"]) == ([], None)

    text = _invoke(services, monkeypatch, now)
    assert text.exit_code == ExitCode.PARTLY_FAILED
    assert f"{ALPHANUMERIC_CNPJ} 3x since" in text.stdout
    assert "1 ok, 1 failed" in text.stdout
    assert not any(word in ended.stdout + text.stdout for word in PERSONAL)


def test_a_fleet_without_any_trouble_ends_with_0(
    services: Services, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = now - HOUR
    _put(services, "runs", *(_run_row(c, began) for c in (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ)))
    _put(services, "fleet_runs", _fleet_row(began, counts=json.dumps({"ok": 2})))
    ended = _invoke(services, monkeypatch, now)
    assert ended.exit_code == ExitCode.OK, ended.stdout
    assert "No alerts." in ended.stdout


def test_status_shows_what_the_senders_and_the_webhook_do_and_what_is_wrong_with_them(
    services: Services, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = {
        "run_id": "s",
        "started_at": (now - 2 * HOUR).isoformat(),
        "recorded_at": (now - timedelta(minutes=4)).isoformat(),
        "sent": 40,
        "unknown": 1,
        "failed": json.dumps({"unreachable": 3}),
        "waiting": json.dumps({"paused": 7}),
        "oldest_waiting_at": (now - 3 * HOUR).isoformat(),
        "open_attempts": 1,
        "people_left": json.dumps({"1001": 12}),
        "money_left": json.dumps({NUMERIC_CNPJ: 3.5}),
    }
    pause = {
        "run_id": "s",
        "kind": "token",
        "key": "TOKEN_A",
        "reason": "190",
        "begun_at": (now - timedelta(minutes=9)).isoformat(),
        "until": (now + HOUR).isoformat(),
    }
    received = {
        "run_id": "w",
        "started_at": (now - 2 * HOUR).isoformat(),
        "recorded_at": (now - timedelta(minutes=2)).isoformat(),
        "answers": json.dumps({"200": 18, "500": 2}),
        "items": json.dumps({"receipt": 25, "unmatched": 1}),
    }
    _put(services, "webhook_runs", received)
    _put(services, "send_runs", sent)
    _put(services, "send_pauses", pause)
    report = json.loads(_invoke(services, monkeypatch, now, "--json").stdout)
    assert {name: report["sending"][name] for name in ("sent", "failed", "waiting")} == {
        "sent": 40,
        "failed": {"unreachable": 3},
        "waiting": {"paused": 7},
    }
    assert (report["webhook"]["answers_last_hour"], report["webhook"]["receipts"]) == (
        {"200": 18, "500": 2},
        25,
    )
    alerts = {"send_waiting", "send_paused:token:TOKEN_A", "webhook_failing"}
    assert alerts <= report["alerts"].keys()
    shown = _invoke(services, monkeypatch, now, "--waiting-minutes", "999").stdout
    for part in (
        "3 unreachable",
        "180 minutes",
        "token TOKEN_A until",
        "1001: 12 people",
        "R$ 3.50",
        "20 POSTs, answered 18 with 200, 2 with 500",
        "25 receipts, 0 opt-outs, 1 unmatched",
    ):
        assert part in shown
    assert "send_waiting" not in shown


def test_a_project_without_any_run_says_so(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = _invoke(services, monkeypatch, AS_OF, "--json")
    assert ended.exit_code == ExitCode.PARTLY_FAILED
    assert set(json.loads(ended.stdout)["alerts"]) == {"no_run"}
    assert "No `vmhub run` within 7 days" in _invoke(services, monkeypatch, AS_OF).stdout


def test_an_alert_goes_out_once_is_recorded_and_its_end_goes_out_too(
    services: Services, now: datetime, monkeypatch: pytest.MonkeyPatch, receiver: AlertReceiver
) -> None:
    monkeypatch.setenv(ALERT_URLS_VARIABLE, receiver.url)
    _play_hours(services, now)
    outputs = []
    for minutes in (0, 10):
        later = now + timedelta(minutes=minutes)
        ended = _invoke(services, monkeypatch, later, "--alert")
        assert ended.exit_code == ExitCode.PARTLY_FAILED
        outputs.append(ended.stdout)
    assert "1 of 1 changes were sent" in outputs[0]
    assert "Nothing new to send." in outputs[1]
    alert = f"failing:{ALPHANUMERIC_CNPJ}"
    project = services.environment.project
    assert receiver.titles == [f"vmhub {project}: {alert}"]

    fixed = now + timedelta(minutes=15)
    _put(services, "runs", _run_row(ALPHANUMERIC_CNPJ, fixed))
    for minutes in (20, 30):
        ended = _invoke(services, monkeypatch, now + timedelta(minutes=minutes), "--alert")
        outputs.append(ended.stdout)
        assert ended.exit_code == ExitCode.OK
    assert receiver.titles[1:] == [f"vmhub {project}: over: {alert}"]
    rows = services.warehouse.query(
        "select * from VMHUB_OPS.alerts order by changed_at", doing="reading back"
    )
    assert [(row["alert"], row["is_open"], row["changed_at"]) for row in rows] == [
        (alert, True, now),
        (alert, False, now + timedelta(minutes=20)),
    ]
    assert "failed 3 times in a row" in rows[0]["message"]
    everything = json.dumps([*receiver.messages, *outputs, [row["message"] for row in rows]])
    assert not any(word in everything for word in (*PERSONAL, SECRET))


def test_more_than_twenty_failing_laundromats_are_one_message_and_a_row_each(
    services: Services, receiver: AlertReceiver
) -> None:
    cnpjs = [with_check_digits(f"{number:012}") for number in range(1, 26)]
    for cnpj in cnpjs:
        services.registry.register(cnpj, name="Lava Bem", timezone=None, campaign_types=[])
    rows = [_failed_row(cnpj, AS_OF - ago * HOUR) for cnpj in cnpjs for ago in (1, 2, 3)]
    _put(services, "runs", *rows)
    _put(services, "fleet_runs", _fleet_row(AS_OF - HOUR))
    limits, receivers = Limits(), Receivers(receiver.url)
    first = status_of_fleet(services, as_of=AS_OF, limits=limits, receivers=receivers)
    assert first.delivery is not None
    # Each fails, and none has RAW data.
    assert len(first.delivery.told) == 51
    assert [title.partition(": ")[2] for title in receiver.titles] == [
        "error_rate",
        "25 alerts: failing",
        "25 alerts: stale_raw",
    ]
    again = status_of_fleet(services, as_of=AS_OF + HOUR, limits=limits, receivers=receivers)
    assert again.delivery is not None
    assert (again.delivery.told, len(receiver.titles)) == ((), 3)


def test_a_message_that_nobody_takes_ends_with_1_and_is_sent_by_the_next_check(
    services: Services, monkeypatch: pytest.MonkeyPatch, receiver: AlertReceiver
) -> None:
    monkeypatch.setenv(ALERT_URLS_VARIABLE, receiver.url)
    receiver.is_down = True
    ended = _invoke(services, monkeypatch, AS_OF, "--alert")
    assert isinstance(ended.exception, ServiceError)
    assert "no receiver took 1 alert changes" in ended.exception.message
    receiver.is_down = False
    ended = _invoke(services, monkeypatch, AS_OF + HOUR, "--alert")
    assert ended.exit_code == ExitCode.PARTLY_FAILED
    assert len(receiver.messages) == 1


def test_alerts_without_receivers_are_a_wrong_configuration(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = _invoke(services, monkeypatch, AS_OF, "--alert")
    assert isinstance(ended.exception, ConfigurationError)
    assert ended.exception.exit_code == ExitCode.CONFIGURATION
    assert ALERT_URLS_VARIABLE in ended.exception.message
    assert ended.stdout == ""


def test_raw_data_is_stale_when_old_or_missing(services: Services, now: datetime) -> None:
    third = with_check_digits("000000000001")
    onboard(
        services.project,
        services.warehouse,
        services.registry,
        cnpj=third,
        name="Lava Bem",
        audit=services.new_audit_log("test"),
    )
    modified = services.warehouse.modified_at(f"{NUMERIC_CNPJ}_RAW", "vendas")
    assert modified is not None

    def stale(as_of: datetime) -> dict[str, str]:
        report = status_of_fleet(services, as_of=as_of, limits=Limits())
        return {table.cnpj: table.problem for table in report.stale_raw}

    assert stale(now) == {third: "missing"}
    # On the emulator a table's age starts at its creation or replacement.
    services.warehouse.query(
        f"create or replace table `{ALPHANUMERIC_CNPJ}_RAW`.`vendas` as "
        f"select * from `{ALPHANUMERIC_CNPJ}_RAW`.`vendas`",
        doing="replacing a table",
    )
    just_stale = modified + timedelta(hours=26, milliseconds=1)
    assert stale(just_stale) == {third: "missing", NUMERIC_CNPJ: ""}
    assert (
        f"stale_raw:{NUMERIC_CNPJ}"
        not in status_of_fleet(
            services, as_of=just_stale, limits=Limits(raw_max_age=timedelta(hours=27))
        ).alerts
    )


class _Lookups:
    """A warehouse without runs, whose tables answer in different ways."""

    def __init__(self, answers: dict[str, Exception]) -> None:
        self._answers = answers

    def query(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return []

    def modified_at(self, dataset: str, _table: str) -> datetime:
        if dataset in self._answers:
            raise self._answers[dataset]
        return AS_OF


def test_a_dataset_that_cannot_be_looked_at_hides_no_other() -> None:
    denied, unlucky, fine = (with_check_digits(f"{number:012}") for number in (1, 2, 3))
    lookups: Any = _Lookups(
        {
            f"{denied}_RAW": ConfigurationError("permission denied"),
            f"{unlucky}_RAW": ServiceError("BigQuery does not answer"),
        }
    )
    facts = read_facts(lookups, [denied, unlucky, fine], [], as_of=AS_OF)
    found = {table.cnpj: (table.problem, table.is_known) for table in facts.raw_tables}
    assert found == {
        denied: ("not readable", True),
        unlucky: ("not known", False),
        fine: ("", True),
    }
    assert [table.cnpj for table in facts.stale(Limits().raw_max_age)] == [denied]


def test_random_histories_are_read_as_they_would_be_counted_by_hand(services: Services) -> None:
    chance = random.Random(7)
    cnpjs = [with_check_digits(f"{number:012}") for number in range(1, 41)]
    rows, expected = [], {}
    for cnpj in cnpjs:
        codes = [chance.choice([0, 1, 1, 2, 3, 143, None]) for _ in range(chance.randint(0, 9))]
        instants = [AS_OF - (len(codes) - number) * HOUR for number in range(len(codes))]
        rows += [_run_row(cnpj, *pair) for pair in zip(instants, codes, strict=True)]
        # These do not count: an interrupted run, another command, a run older than a week, and one
        # in the future.
        rows += [
            _run_row(cnpj, AS_OF - timedelta(minutes=1), chance.choice([0, 1]), command="build"),
            _run_row(cnpj, AS_OF - timedelta(days=7, seconds=1), chance.choice([0, 1])),
            _run_row(cnpj, AS_OF + timedelta(seconds=1), chance.choice([0, 1])),
        ]
        ended = [pair for pair in zip(instants, codes, strict=True) if pair[1] != 143]
        instants, codes = [at for at, _ in ended], [code for _, code in ended]
        successes = [number for number, code in enumerate(codes) if code in (0, 3)]
        first = successes[-1] + 1 if successes else 0
        if codes:
            expected[cnpj] = (
                len(codes) - first,
                instants[first] if first < len(codes) else None,
                instants[successes[-1]] if successes else None,
                1 if codes[-1] is None else codes[-1],
            )
    chance.shuffle(rows)
    _put(services, "runs", *rows)
    facts = read_facts(services.warehouse, cnpjs[:-1], [cnpjs[-1]], as_of=AS_OF)
    assert {
        item.cnpj: (item.failures, item.failing_since, item.succeeded_at, item.exit_code)
        for item in facts.laundromats
    } == expected
    assert set(facts.without_runs) == set(cnpjs) - set(expected)
    # Nothing is known about a laundromat with a wrong entry: its open alert stays open.
    assert [table.cnpj for table in facts.raw_tables if not table.is_known] == [cnpjs[-1]]
    assert {table.problem for table in facts.raw_tables if table.is_known} == {"missing"}


def test_the_error_rate_is_of_the_last_run_of_each_shard(services: Services) -> None:
    begun = [AS_OF - timedelta(minutes=minutes) for minutes in (50, 45, 110)]
    cnpjs = [with_check_digits(f"{number:012}") for number in range(1, 5)]
    _put(
        services,
        "fleet_runs",
        _fleet_row(begun[0], "0/2"),
        _fleet_row(begun[1], "1/2"),
        _fleet_row(begun[2], "0/2"),
        # A run by hand of one laundromat is not part of the fleet's division.
        _fleet_row(AS_OF - timedelta(minutes=20), None),
    )
    _put(
        services,
        "runs",
        _run_row(cnpjs[0], begun[0], 1),
        _run_row(cnpjs[1], begun[0], 3),
        _run_row(cnpjs[2], begun[1], None),
        _run_row(cnpjs[3], begun[2], 1),
        _run_row(cnpjs[3], AS_OF - timedelta(minutes=20), 1),
    )
    facts = read_facts(services.warehouse, cnpjs, [], as_of=AS_OF)
    assert [str(run.shard) for run in facts.last_runs] == ["0/2", "1/2"]
    assert (facts.served.laundromats, facts.served.failed) == (3, 2)


def test_bigquery_takes_the_queries_and_prunes_by_the_bare_column(project: Project) -> None:
    analyzer = GoogleSql()
    for table in project.ops_tables().values():
        columns = {column.name: column.data_type for column in table.columns}
        analyzer.declare(f"VMHUB_OPS.{table.name}", columns)
    for name in (
        *("FLEET_RUNS", "LAUNDROMATS", "SERVED", "OPEN_ALERTS"),
        *("SEND_RUNS", "SEND_PAUSES", "WEBHOOK_RUNS", "ACCOUNT_EVENTS"),
    ):
        sql = statements.statement(getattr(statements, name), until=AS_OF)
        analyzer.analyze(sql.replace("`.`", ".").replace("@fleet_run_ids", "['a']"))
        reads = partition_problems(sql, project.source_tables())
        assert (reads.problems, reads.unfiltered, len(reads.compared)) == ([], [], 1)
    for template, of_processes in (
        *((cost_queries.RUN_COSTS, ""), (cost_queries.SYNC_COSTS, "")),
        *((cost_queries.FLEET_COSTS, ""), (cost_queries.PROCESS_COSTS, "send_runs")),
        (cost_queries.PROCESS_COSTS, "webhook_runs"),
    ):
        sql = cost_queries.cost_statement(template, NOVEMBER, AS_OF, of_processes)
        analyzer.analyze(sql.replace("`.`", "."))
        reads = partition_problems(sql, project.source_tables())
        assert (reads.problems, reads.unfiltered, len(reads.compared)) == ([], [], 1)


def _step(name: str, **counts: int) -> dict[str, Any]:
    return {"step": name, "exit_code": 0, **counts}


def _put_months(services: Services) -> None:
    """Record the costs of two laundromats, and what they share, around the edges of November."""
    begins, ends = NOVEMBER.begins_at, NOVEMBER.ends_at
    second = timedelta(seconds=1)
    steps = json.dumps(
        [
            _step("TRACK", queries=1, bytes_billed=10, documents_read=4, writes_sent=1),
            _step("BUILD", queries=6, bytes_billed=80),
            # Its own record counts it.
            _step("SYNC", documents_read=99, writes_sent=99),
            _step("OTHER", documents_read=20, writes_sent=3),
        ]
    )
    check = json.dumps([_step("STATUS", queries=8, bytes_billed=70, documents_read=12)])
    instants = (begins - second, begins, ends - second, ends)
    _put(
        services,
        "runs",
        *(_run_row(NUMERIC_CNPJ, began, steps=steps) for began in instants),
        *(_run_row(CLOSED_CNPJ, began, 1, command="build", steps=steps) for began in instants[1:2]),
        {**_run_row("", begins, steps=check, command="status"), "cnpj": None},
    )
    _put(
        services,
        "sync_runs",
        *(
            {
                "run_id": f"sync {began}",
                "cnpj": NUMERIC_CNPJ,
                "started_at": began.isoformat(),
                "documents_read": 100,
                "writes_sent": 50,
            }
            for began in instants
        ),
    )
    _put(
        services,
        "fleet_runs",
        *(_fleet_row(began, documents_read=30, writes_sent=2) for began in instants),
        # Of an older version.
        _fleet_row(begins + HOUR),
    )
    life = {"run_id": "a", "started_at": (begins - HOUR).isoformat()}
    old = {"run_id": "b", "started_at": (begins - 90 * HOUR).isoformat()}
    new = {"run_id": "c", "started_at": (begins + HOUR).isoformat()}
    for table in ("send_runs", "webhook_runs"):
        _put(
            services,
            table,
            # 900 of its 1,000 reads are October's.
            {**life, **_counted(begins - HOUR / 6, 900, 90)},
            {**life, **_counted(begins, 950, 95)},
            {**life, **_counted(begins + HOUR, 1000, 100)},
            # Its rows before November are too old to be read: only what follows its first counts.
            {**old, **_counted(begins + HOUR, 5000, 500)},
            {**old, **_counted(begins + 2 * HOUR, 5007, 501)},
            {**new, **_counted(begins + 2 * HOUR, 40, 4)},
            {**new, **_counted(ends, 9000, 900)},
        )


def _counted(recorded_at: datetime, reads: int, writes: int) -> dict[str, Any]:
    return {
        "recorded_at": recorded_at.isoformat(),
        "documents_read": reads,
        "writes_sent": writes,
    }


def test_what_a_month_costs_is_told_by_laundromat_and_what_they_share_on_its_own(
    services: Services, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put_months(services)
    services.warehouse.query(
        f"create table `{NUMERIC_CNPJ}_CAMPAIGN`.`campaign_performance` as "
        "select day as business_date, 3 as sent, 2 as delivered, 2 as billed, 1 as unpriced, "
        "numeric '0.70' as cost_brl "
        "from unnest([date '2026-10-31', date '2026-11-01', date '2026-11-30']) as day",
        doing="putting figures there",
    )
    arguments = ("--costs", "--month", "2026-11")
    later = NOVEMBER.ends_at + HOUR
    ended = _invoke(services, monkeypatch, later, *arguments, "--json")
    assert ended.exit_code == ExitCode.OK
    report = json.loads(ended.stdout)

    def usage(queries: int, billed: int, reads: int, writes: int) -> dict[str, int]:
        return {
            "queries": queries,
            "bytes_billed": billed,
            "documents_read": reads,
            "writes_sent": writes,
        }

    found = {one["cnpj"]: (one["usage"], one["messages"]) for one in report["laundromats"]}
    # Two runs and two syncs are in November.
    messages = {"sent": 6, "delivered": 4, "billed": 4, "unpriced": 2, "cost_brl": "1.40"}
    assert found == {
        NUMERIC_CNPJ: (usage(14, 180, 2 * 24 + 200, 2 * 4 + 100), messages),
        # It is no longer active, and has records of this month.
        CLOSED_CNPJ: (usage(7, 90, 24, 4), None),
        # It is active, and nothing was recorded.
        ALPHANUMERIC_CNPJ: (usage(0, 0, 0, 0), None),
    }
    shared = {one["name"]: one["usage"] for one in report["shared"]}
    # a: 1,000 - 900, b: 7, c: 40
    assert shared == {
        "run": usage(0, 0, 60, 4),
        "status": usage(8, 70, 12, 0),
        "sender": usage(0, 0, 147, 15),
        "webhook": usage(0, 0, 147, 15),
    }
    assert report["total"] == usage(29, 340, 248 + 24 + 60 + 12 + 294, 108 + 4 + 4 + 30)
    shown = _invoke(services, monkeypatch, later, *arguments).stdout
    assert "shared: sender" in shown
    assert "1.40" in shown


def test_a_month_without_records_costs_nothing(
    services: Services, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = _invoke(services, monkeypatch, now, "--costs", "--month", "2020-01", "--json")
    assert json.loads(ended.stdout)["total"]["queries"] == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--month", "2026-11"), "--month needs --costs"),
        (("--costs", "--alert"), "--costs goes with neither"),
        (("--costs", "--month", "November"), "is no month"),
    ],
)
def test_costs_of_a_wrong_month_or_with_alerts_are_refused(
    services: Services, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], reason: str
) -> None:
    ended = _invoke(services, monkeypatch, AS_OF, *arguments)
    assert isinstance(ended.exception, ConfigurationError)
    assert reason in ended.exception.message


def test_a_laundromat_over_its_month_is_an_alert_and_the_check_records_itself(
    services: Services, now: datetime, monkeypatch: pytest.MonkeyPatch, receiver: AlertReceiver
) -> None:
    monkeypatch.setenv(ALERT_URLS_VARIABLE, receiver.url)
    steps = json.dumps([_step("BUILD", queries=6, bytes_billed=3 * 2**29)])
    _put(services, "runs", _run_row(NUMERIC_CNPJ, now - HOUR, steps=steps))
    assert f"over_cost:{NUMERIC_CNPJ}" not in _invoke(services, monkeypatch, now, "--json").stdout
    ended = _invoke(services, monkeypatch, now, "--month-gib", "1", "--alert", "--json")
    alerts = json.loads(ended.stdout)["alerts"]
    assert alerts[f"over_cost:{NUMERIC_CNPJ}"].startswith(
        f"The runs of {NUMERIC_CNPJ} have billed 1.5 GiB since"
    )
    rows = services.warehouse.query(
        "select * from VMHUB_OPS.runs where command = 'status'", doing="reading back"
    )
    # Only the check that sends alerts may write.
    [row] = rows
    assert row["cnpj"] is None
    [step] = row["steps"]
    assert (step["step"], step["queries"] > 4, step["documents_read"] > 1) == ("STATUS", True, True)


def test_opt_outs_that_cannot_be_read_are_told_of_until_a_build_finds_none(
    services: Services, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(count: int) -> str:
        return json.dumps([{"step": "BUILD", "outcomes": {"unreadable_opt_outs": count}}])

    make_laundromat(services, NUMERIC_CNPJ)
    _put(
        services,
        "runs",
        _run_row(NUMERIC_CNPJ, now - 4 * HOUR, 0, steps=built(11)),
        _run_row(NUMERIC_CNPJ, now - 3 * HOUR, 0, steps=built(2)),
        # At night there is nothing to build.
        _run_row(NUMERIC_CNPJ, now - 2 * HOUR, 0, steps=json.dumps([{"step": "TRACK"}])),
    )
    report = json.loads(_invoke(services, monkeypatch, now, "--json").stdout)
    assert report["unreadable_opt_outs"] == {NUMERIC_CNPJ: 2}
    told = _invoke(services, monkeypatch, now).stdout
    assert "Opt-outs that cannot be read" in told
    assert f"{NUMERIC_CNPJ} 2" in told
    _put(services, "runs", _run_row(NUMERIC_CNPJ, now - HOUR, 0, steps=built(0)))
    report = json.loads(_invoke(services, monkeypatch, now, "--json").stdout)
    assert report["unreadable_opt_outs"] == {}
