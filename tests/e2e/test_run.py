"""`vmhub run`: the hourly cycle, in which laundromats do not affect each other."""

from __future__ import annotations

import itertools
import json
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from loader.base.errors import ConfigurationError, ExitCode
from loader.base.interrupts import Interrupts
from loader.dbt.runner import ParsedProject
from loader.dbt.settings import effective_settings
from loader.dbt.spec import BuildSpec
from loader.firestore.lease import Lease, Leases
from loader.fleet.hour import HourRunner
from loader.fleet.result import TIME_LIMIT_SIGNAL, HourOutcome, HourResult
from loader.fleet.run import FleetOptions, run_fleet
from loader.fleet.window import SendWindow
from loader.local.sample import SAMPLE_AS_OF, load_sample, sample_laundromats
from loader.services import Services
from tests.fleet import BROKEN, Fleet, load_texts, make_small, note_deployed
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    NUMERIC_CNPJ,
    bigquery_client,
    change_settings,
    copy_project,
    decisions,
    documents,
    history,
    make_laundromat,
    official_client,
    put_document,
    put_suppression,
    run_script,
    sent,
)

if TYPE_CHECKING:
    from pathlib import Path

    from loader.base.cnpj import Cnpj

CNPJ = NUMERIC_CNPJ
HOUR = timedelta(hours=1)
# 23:00 in São Paulo.
NIGHT = AS_OF + 13 * HOUR


def server(services: Services, as_of: datetime, holder: str = "run", **options: Any) -> HourRunner:
    leases = Leases(services.database, holder, lasts=timedelta(minutes=2))
    return HourRunner(
        services,
        leases,
        fleet_run_id=holder,
        since=leases.now(),
        as_of=as_of,
        renew_seconds=30,
        **{"limit_seconds": 600, **options},
    )


def rows_of_runs(services: Services) -> list[dict[str, Any]]:
    return services.warehouse.query(
        "select * from `VMHUB_OPS`.`runs` where command = 'run' order by started_at",
        doing="reading the runs",
    )


def steps(row: dict[str, Any]) -> list[str]:
    return [step["step"] for step in row["steps"] if step["step"] != "OTHER"]


def check_broken_ones_fail_alone(fleet: Fleet) -> None:
    """Serve a fleet with five broken laundromats, fix them, and serve it again."""
    services, total = fleet.services, len(fleet.well) + len(BROKEN)
    with fleet.served(as_of=AS_OF) as report:
        pass
    found = {served.cnpj: (served.step, served.error) for served in report.not_well}
    assert found == {fleet.broken[kind]: error for kind, error in BROKEN.items()}
    assert report.counts == {
        HourOutcome.OK: len(fleet.well),
        HourOutcome.FAILED: 4,
        HourOutcome.TIMED_OUT: 1,
    }
    assert report.laundromats == total
    assert report.exit_code == ExitCode.PARTLY_FAILED
    assert report.not_recorded == ""
    recorded = {row["cnpj"]: row["error"] for row in rows_of_runs(services)}
    assert recorded == {
        **dict.fromkeys(fleet.well),
        **{fleet.broken[kind]: error for kind, (_, error) in BROKEN.items()},
    }
    for cnpj in fleet.well:
        assert len(documents(services.environment, cnpj)) == 2
    for cnpj in fleet.broken.values():
        assert documents(services.environment, cnpj) == {}

    fleet.fix()
    with fleet.served(as_of=AS_OF + HOUR) as report:
        pass
    assert (report.counts, report.exit_code) == ({HourOutcome.OK: total}, ExitCode.OK)
    for cnpj in (*fleet.well, *fleet.broken.values()):
        assert len(documents(services.environment, cnpj)) == 2
    [first, second] = services.warehouse.query(
        "select * from `VMHUB_OPS`.`fleet_runs` order by started_at", doing="reading the runs"
    )
    assert (first["exit_code"], second["exit_code"]) == (3, 0)
    assert second["counts"] == {"ok": total}


def test_broken_laundromats_fail_alone_and_are_served_once_fixed(services: Services) -> None:
    check_broken_ones_fail_alone(Fleet.make(services, 6, limit_seconds=30))


@pytest.mark.large
@pytest.mark.timeout(5400)
def test_of_200_laundromats_five_broken_ones_fail_alone(services: Services) -> None:
    check_broken_ones_fail_alone(Fleet.make(services, 200, limit_seconds=120))


def test_a_run_gives_what_track_build_and_sync_give_and_once_a_day_the_figures(
    services: Services,
) -> None:
    make_small(services, CNPJ)
    put_document(services, "customer-0", cnpj=CNPJ, **sent())
    [opt_outs] = [table for table in services.project.owned_tables() if table.name == "opt_outs"]
    services.warehouse.append(opt_outs, CNPJ, [{"phone": "it is secret"}])
    assert server(services, AS_OF).serve(CNPJ).outcome is HourOutcome.OK
    assert len(documents(services.environment, CNPJ)) == 3
    wish = {"keys": ["customer:customer-1"], "updatedAt": AS_OF + HOUR / 2}
    put_suppression(services, "event", cnpj=CNPJ, optedOutAt=AS_OF + HOUR / 2, **wish)
    assert server(services, AS_OF + HOUR).serve(CNPJ).outcome is HourOutcome.OK
    first, second = rows_of_runs(services)
    assert steps(first) == ["TRACK", "DEPLOY", "BUILD", "SYNC", "FIGURES"]
    assert steps(second) == ["TRACK", "BUILD", "SYNC"]
    assert [row["user_id"] for row in history(services, CNPJ)] == ["customer-0"]
    assert {key for key in documents(services.environment, CNPJ) if key[0] == "BIRTHDAY"} == {
        ("BIRTHDAY", "customer-0"),
    }
    assert decisions(services, CNPJ)["BIRTHDAY", "customer-1"]["blockers"] == ["OPTED_OUT"]
    [track] = [step for step in second["steps"] if step["step"] == "TRACK"]
    assert track["outcomes"] == {"opt_outs": 1}
    [sync] = [step for step in second["steps"] if step["step"] == "SYNC"]
    assert sync["outcomes"] == {"unchanged": 1, "withdrawn": 1}
    [sync] = [step for step in first["steps"] if step["step"] == "SYNC"]
    assert (sync["rows"], sync["outcomes"]) == (2, {"created": 2})
    for row in (first, second):
        [build] = [step for step in row["steps"] if step["step"] == "BUILD"]
        assert build["outcomes"] == {"unreadable_opt_outs": 1}


class NoWarehouse:
    """A BigQuery that must not be used."""

    def __getattr__(self, name: str) -> Any:
        message = f"BigQuery was asked: {name}"
        raise AssertionError(message)


def test_at_night_a_laundromat_is_withdrawn_from_then_tracked_and_then_skipped_without_a_query(
    services: Services,
) -> None:
    make_small(services, CNPJ)
    assert server(services, AS_OF).serve(CNPJ).outcome is HourOutcome.OK
    assert len(documents(services.environment, CNPJ)) == 2
    # Expired targets are withdrawn.
    assert server(services, NIGHT).serve(CNPJ).outcome is HourOutcome.OK
    assert documents(services.environment, CNPJ) == {}
    assert steps(rows_of_runs(services)[-1]) == ["TRACK", "BUILD", "SYNC"]
    put_document(services, "customer-9", cnpj=CNPJ, **sent(at=NIGHT + HOUR / 2))
    assert server(services, NIGHT + HOUR).serve(CNPJ).outcome is HourOutcome.OK
    assert steps(rows_of_runs(services)[-1]) == ["TRACK"]
    blind = replace(services)
    vars(blind)["warehouse"] = NoWarehouse()
    skipped = server(blind, NIGHT + 2 * HOUR).serve(CNPJ)
    # Its registry documents, the search for pending documents and for news; no query finds any.
    campaigns = len(services.project.campaign_types())
    reads = 1 + campaigns + campaigns + campaigns + 2
    assert skipped == HourResult(CNPJ, HourOutcome.SKIPPED, documents_read=reads)


def test_all_that_an_hour_reads_and_writes_in_firestore_is_in_its_row(services: Services) -> None:
    make_small(services, CNPJ)
    hour = server(services, AS_OF)
    before = services.database.traffic.count()
    assert hour.serve(CNPJ).outcome is HourOutcome.OK
    traffic = services.database.traffic.count().since(before)
    [row] = rows_of_runs(services)
    [other] = [step for step in row["steps"] if step["step"] == "OTHER"]
    assert sum(step["documents_read"] for step in row["steps"]) == traffic.reads
    assert sum(step["writes_sent"] for step in row["steps"]) == traffic.writes
    # The lease is taken, told of the seeds and of the figures, and given back; the watermark is
    # TRACK's, and the two documents are SYNC's.
    assert other["writes_sent"] == 4
    writes = {step["step"]: step["writes_sent"] for step in row["steps"] if step["writes_sent"]}
    assert writes == {"TRACK": 1, "SYNC": 2, "OTHER": 4}


def test_what_another_run_holds_or_has_served_is_left_to_it(services: Services) -> None:
    make_small(services, CNPJ)
    note_deployed(services, CNPJ)
    mine, other = (
        server(services, AS_OF, "mine"),
        Leases(services.database, "other", lasts=timedelta(minutes=2)),
    )
    lease = other.take(CNPJ, since=other.now())
    assert mine.serve(CNPJ).outcome is HourOutcome.BUSY
    assert isinstance(lease, Lease)
    lease.give_back(is_served=True)
    assert mine.serve(CNPJ).outcome is HourOutcome.DONE_ELSEWHERE
    assert rows_of_runs(services) == []


def told_at(step: str, begun: list[str], number: signal.Signals = signal.SIGTERM) -> dict[str, Any]:
    """Ask a run to stop as it begins a step, and note the steps that it begins."""
    interrupts = Interrupts()

    def on_step(name: str) -> None:
        begun.append(name)
        if name == step:
            interrupts.note(number)

    return {"interrupts": interrupts, "on_step": on_step}


def test_a_run_that_is_told_to_end_before_it_writes_documents_writes_none(
    services: Services,
) -> None:
    make_small(services, CNPJ)
    load_texts(services, CNPJ)
    served = server(services, AS_OF, **told_at("SYNC", [])).serve(CNPJ)
    assert (served.outcome, served.step) == (HourOutcome.INTERRUPTED, "SYNC")
    client = official_client(services.environment)
    assert not list(client.collection(f"users/{CNPJ}/campaigns/BIRTHDAY/targets").stream())
    [sync] = services.warehouse.query("select * from `VMHUB_OPS`.`sync_runs`", doing="reading it")
    assert sync["counts"]["BIRTHDAY"]["deferred"] == 2


def test_a_run_that_is_told_to_end_stops_before_the_next_step(services: Services) -> None:
    make_small(services, CNPJ)
    begun: list[str] = []
    served = server(services, AS_OF, **told_at("TRACK", begun)).serve(CNPJ)
    assert (served.outcome, served.reason) == (
        HourOutcome.INTERRUPTED,
        "stopped before DEPLOY: the next run does the rest",
    )
    assert begun == ["SETTINGS", "TRACK", "RECORD"]
    # It counts as not served: another run may begin at once.
    assert server(services, AS_OF, "another").serve(CNPJ).outcome is HourOutcome.OK


def test_one_that_is_told_to_end_when_its_time_is_over_has_failed(services: Services) -> None:
    make_small(services, CNPJ)
    told = told_at("TRACK", [], TIME_LIMIT_SIGNAL)
    served = server(services, AS_OF, limit_seconds=600, **told).serve(CNPJ)
    assert (served.outcome, served.error, served.is_lost) == (
        HourOutcome.TIMED_OUT,
        "TimeLimitError",
        False,
    )
    [row] = rows_of_runs(services)
    # Not 130, which would mean that it neither failed nor was served.
    assert (row["exit_code"], row["error"]) == (1, "TimeLimitError")
    assert row["reason"] == "ended after 600 seconds, the limit, at TRACK"


def test_an_error_that_is_not_ours_is_named_by_its_place_and_quotes_nothing(
    services: Services,
) -> None:
    make_small(services, CNPJ)

    def fail(step: str) -> None:
        if step == "TRACK":
            message = "Ana Exemplo, +5511900000001"
            raise ValueError(message)

    served = server(services, AS_OF, on_step=fail).serve(CNPJ)
    assert (served.outcome, served.error, served.step) == (
        HourOutcome.FAILED,
        "ValueError",
        "TRACK",
    )
    assert served.reason.startswith("ValueError in test_run.py, line ")
    [row] = rows_of_runs(services)
    assert (row["error"], row["reason"]) == ("ValueError", None)


def test_people_who_opted_out_keep_no_target_even_if_a_step_before_sync_fails(
    services: Services,
) -> None:
    make_small(services, CNPJ)
    for customer_id in ("customer-0", "customer-1"):
        put_document(services, customer_id, cnpj=CNPJ)
    wish = {"keys": ["customer:customer-1"], "updatedAt": AS_OF - HOUR}
    put_suppression(services, "event", cnpj=CNPJ, optedOutAt=AS_OF - HOUR, **wish)

    def fail(step: str) -> None:
        if step == "DEPLOY":
            message = "a seed is broken"
            raise ConfigurationError(message)

    served = server(services, AS_OF, on_step=fail).serve(CNPJ)

    assert (served.outcome, served.step) == (HourOutcome.FAILED, "DEPLOY")
    assert set(documents(services.environment, CNPJ)) == {("REACTIVATION", "customer-0")}
    [row] = rows_of_runs(services)
    [sync] = [step for step in row["steps"] if step["step"] == "SYNC"]
    assert (row["error"], sync["outcomes"]) == ("ConfigurationError", {"withdrawn": 1})


def test_a_document_that_was_sent_and_gives_no_row_is_recorded(services: Services) -> None:
    make_small(services, CNPJ)
    document = official_client(services.environment).document(
        f"users/{CNPJ}/campaigns/BIRTHDAY/targets/customer-9"
    )
    document.set({"status": "SENT", "attempts": 1, "updatedAt": NIGHT - HOUR})
    assert server(services, NIGHT).serve(CNPJ).outcome is HourOutcome.PARTLY
    [reject] = services.warehouse.query(
        "select * from `VMHUB_OPS`.`sync_rejects`", doing="reading what is to be looked at"
    )
    assert (reject["cnpj"], reject["campaign_type"], reject["customer_id"]) == (
        *(CNPJ, "BIRTHDAY", "customer-9"),
    )
    assert (reject["outcome"], reject["run_id"]) == ("untracked", "run")
    assert reject["reason"] == "no cycleKey: not a document that vmhub sync created"


def test_a_mistyped_cnpj_fails_and_another_programs_documents_are_none_of_ours(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    client = official_client(services.environment)
    client.document("users/11222333000182").set({"name": "wrong check digits"})
    for number in range(3):
        client.document(f"users/uid-{number}").set({"name": "?"})
    report = run_fleet(services, None, FleetOptions(jobs=1, as_of=AS_OF))
    assert report.counts == {HourOutcome.FAILED: 1}
    [served] = report.not_well
    assert (served.cnpj, served.error) == ("11222333000182", "ConfigurationError")
    assert "3 documents of users are no laundromat's" in caplog.text
    assert report.exit_code == ExitCode.FAILED


def test_a_project_that_reads_another_laundromats_tables_is_refused_before_anything_runs(
    services: Services, tmp_path: Path
) -> None:
    copy = copy_project(services.project, tmp_path / "project")
    macro = copy.root / "macros" / "dbt" / "generate_schema_name.sql"
    sql = macro.read_text(encoding="utf-8")
    # Like a wrongly cached schema: the one of the laundromat that was served before.
    planted = (
        "{% if node.name == 'customer_facts' %}"
        f"{{{{ '{ALPHANUMERIC_CNPJ}' ~ '_CAMPAIGN' }}}}{{% else %}}"
    )
    changed = sql.replace("{{ checked", planted + "{{ checked").replace(
        "{%- end", "{% endif %}{%- end"
    )
    assert changed != sql
    macro.write_text(changed, encoding="utf-8")
    make_small(services, CNPJ)
    load_texts(services, CNPJ)
    make_small(services, ALPHANUMERIC_CNPJ)
    parsed = ParsedProject(copy, tmp_path / "parse")
    foreign = Services(copy, services.environment, tmp_path / "state", parsed)

    served = server(foreign, AS_OF).serve(CNPJ)

    assert (served.outcome, served.step, served.error) == (HourOutcome.FAILED, "BUILD", "RunError")
    assert f"customer_facts is in {ALPHANUMERIC_CNPJ}_CAMPAIGN" in served.reason
    client = bigquery_client(services.environment)
    for cnpj in (CNPJ, ALPHANUMERIC_CNPJ):
        tables = {table.table_id for table in client.list_tables(f"{cnpj}_CAMPAIGN")}
        assert not tables & {"customer_facts", "campaign_decisions", "campaign_targets"}


def test_an_instant_that_has_not_come_yet_is_refused_where_messages_are_real(
    services: Services,
) -> None:
    real = replace(services.environment, bigquery_url=None)
    at_work = replace(services, environment=real)
    vars(at_work)["database"] = services.database
    for as_of in (datetime.now(UTC) + HOUR, datetime.max.replace(tzinfo=UTC)):
        with pytest.raises(ConfigurationError, match="has not come yet"):
            run_fleet(at_work, [CNPJ], FleetOptions(as_of=as_of))


def test_a_clock_that_is_behind_is_refused_where_messages_are_real(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work = replace(services, environment=replace(services.environment, bigquery_url=None))
    vars(at_work)["database"] = services.database
    monkeypatch.setattr("loader.fleet.run.now", lambda: datetime.now(UTC) - HOUR)
    with pytest.raises(ConfigurationError, match="this machine's clock is behind"):
        run_fleet(at_work, [CNPJ], FleetOptions())


def settings_of(services: Services, **settings: Any) -> dict[str, Any]:
    change_settings(services, CNPJ, **settings)
    return effective_settings(services.project, services.registry.entry(CNPJ))


def test_the_window_is_open_exactly_when_the_sql_says_so(services: Services) -> None:
    make_laundromat(services, CNPJ, timezone="America/Manaus")
    settings = settings_of(
        services,
        send_from_hour=8,
        send_until_hour=18,
        send_weekdays=["MON", "WED", "SAT"],
        loyalty_send_from_hour=13,
    )
    window = SendWindow(settings)
    instants = [AS_OF + number * HOUR * 1.5 for number in range(7 * 16)]
    for as_of in instants[::7]:
        conditions = " or ".join(
            f"{{{{ is_in_send_window('{campaign}') }}}}" for campaign in settings["campaigns"]
        )
        sql = services.dbt.compile_sql(
            BuildSpec(settings, as_of), f"select {conditions} as is_open"
        )
        [row] = services.warehouse.query(sql, doing="asking the SQL")
        assert window.is_open(as_of) == row["is_open"], as_of


def test_figures_are_due_in_the_first_open_hour_and_in_that_of_a_later_control_group() -> None:
    settings = {
        "timezone": "America/Sao_Paulo",
        "campaigns": ["birthday", "loyalty"],
        "enabled_campaigns": ["BIRTHDAY", "LOYALTY"],
        "send_from_hour": 9,
        "send_until_hour": 20,
        "send_weekdays": ["MON", "TUE", "WED", "THU", "FRI"],
        "birthday_send_from_hour": None,
        "birthday_holdout_percent": 0,
        "loyalty_send_from_hour": 14,
        "loyalty_holdout_percent": 10,
    }
    window = SendWindow(settings)
    last: datetime | None = None
    built = []
    # Every hour from Thursday on, except one that did not run.
    for number in itertools.chain(range(10), range(11, 120)):
        at = datetime(2026, 11, 19, 3, 5, tzinfo=UTC) + number * HOUR
        if window.figures_are_due(at, last):
            last = at
            built.append((at - 3 * HOUR).strftime("%a %H"))
    assert built == ["Thu 09", "Thu 14", "Fri 09", "Fri 14", "Mon 09", "Mon 14"]
    none = SendWindow({**settings, "enabled_campaigns": []})
    assert not none.figures_are_due(AS_OF, None)
    assert not none.is_open(AS_OF)


def contents(services: Services, cnpj: Cnpj) -> dict[str, list[str]]:
    """Return the rows of every table of a laundromat, as sorted text."""
    dataset = f"{cnpj}_CAMPAIGN"
    client = bigquery_client(services.environment)
    return {
        table.table_id: sorted(
            json.dumps(row, default=str, sort_keys=True)
            for row in services.warehouse.query(
                f"select * from `{dataset}`.`{table.table_id}`", doing="reading a table"
            )
        )
        for table in client.list_tables(dataset)
    }


@pytest.mark.large
@pytest.mark.timeout(600)
def test_a_run_builds_the_tables_of_a_plain_dbt_build_row_by_row(
    services: Services, tmp_path: Path
) -> None:
    laundromat = sample_laundromats(services.project)[0]
    cnpj = laundromat.cnpj
    load_sample(
        services.project,
        services.warehouse,
        services.registry,
        laundromat,
        services.new_audit_log("test"),
    )
    assert server(services, SAMPLE_AS_OF).serve(cnpj).outcome is not HourOutcome.FAILED
    by_run = contents(services, cnpj)
    assert set(by_run) >= {"campaign_targets", "customer_facts", "target_log", "message_templates"}
    assert all(by_run[table] for table in ("campaign_targets", "campaign_decisions", "target_log"))

    # Build the tables that they are compared with.
    client = bigquery_client(services.environment)
    for table in set(by_run) - {"message_history", "opt_outs"}:
        client.delete_table(f"{cnpj}_CAMPAIGN.{table}")
    variables = {
        "cnpj": cnpj,
        "as_of": SAMPLE_AS_OF.isoformat(),
        "timezone": laundromat.timezone,
    }
    run_script(
        services,
        "dbt",
        *("build", "--exclude-resource-type", "unit_test", "--vars", json.dumps(variables)),
        *("--target-path", str(tmp_path), "--log-path", str(tmp_path)),
    )
    assert contents(services, cnpj) == by_run
