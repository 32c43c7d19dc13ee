"""The figures of one laundromat over three days; building them again changes nothing."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from loader.bigquery.secret_keys import VOUCHER_KEY
from loader.services import Services
from tests.googlesql import analyze_project
from tests.partitions import partition_problems
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    HOURLY_BUILD,
    NUMERIC_CNPJ,
    bigquery_client,
    change_settings,
    make_laundromat,
)

if TYPE_CHECKING:
    from pathlib import Path

    from loader.dbt.project import Project
    from loader.dbt.runner import ParsedProject
    from loader.local.stack import LocalStack
    from tests.googlesql import Analysis

CNPJ = ALPHANUMERIC_CNPJ
DAY = timedelta(days=1)
LATER = AS_OF + 2 * DAY
RECORDED_AT = datetime(2026, 11, 23, 12, tzinfo=UTC)

INCREMENTAL = ("messages", "target_log", "campaign_performance", "run_health")
TABLES = (
    *INCREMENTAL,
    "campaign_conversions",
    "voucher_redemptions",
    "voucher_rates",
    "campaign_lift",
)

Rows = list[dict[str, Any]]

# By the hash of their ids, ana and bia are in the 50 % that are held out; the others are not.
CUSTOMERS = {
    "ana": "90000000100",
    "bia": "90000000200",
    "davi": "90000000300",
    "eva": "90000000400",
    "gil": "90000000500",
}
DAVIS_CODE = "VIP-DB8D6C57"
EVAS_CODE = "VIP-C573899C"


@dataclass(frozen=True)
class Course:
    """The tables of figures after each build, by name."""

    services: Services
    first: dict[str, Rows]
    later: dict[str, Rows]
    again: dict[str, Rows]
    replied: dict[str, Rows]


def add(services: Services, table: str, *rows: dict[str, Any]) -> None:
    [declared] = [item for item in services.project.source_tables() if item.name == table]
    services.warehouse.append(declared, CNPJ, rows)


def sale(cpf: str, at: str, amount: float, cupom: str | None = None) -> dict[str, Any]:
    return {"cpfCliente": cpf, "data": at, "valor": amount, "status": "COMPLETED", "cupom": cupom}


def greeting(customer_id: str, status: str, **columns: Any) -> dict[str, Any]:
    return {
        "user_id": customer_id,
        "campaign_type": "BIRTHDAY",
        "sent_at": "2026-11-23T13:30:00Z",
        "status": status,
        "cycle_key": "2026",
        "attempt": 1,
        "template_variant": "DEFAULT",
        **columns,
    }


def build(services: Services, as_of: datetime) -> dict[str, Rows]:
    """Do the hourly and the daily build, and return the figures."""
    services.build(services.laundromat(CNPJ), as_of=as_of, arguments=HOURLY_BUILD)
    return build_figures(services, as_of)


def build_figures(services: Services, as_of: datetime) -> dict[str, Rows]:
    """Do the daily build, and return the figures."""
    services.build(services.laundromat(CNPJ), as_of=as_of, arguments=["--selector", "daily"])
    figures = {
        table: sorted(
            services.warehouse.query(f"select * from `{CNPJ}_CAMPAIGN`.`{table}`", doing="reading"),
            key=repr,
        )
        for table in TABLES
    }
    # This test's own builds are recorded, too, with the real time.
    recorded = [row for row in figures["run_health"] if row["hour_at"] == RECORDED_AT]
    return {**figures, "run_health": recorded}


@pytest.fixture(scope="module")
def course(
    project: Project,
    stack: LocalStack,
    parsed: ParsedProject,
    tmp_path_factory: pytest.TempPathFactory,
) -> Course:
    environment = replace(stack.environment(), project=f"figures-{secrets.token_hex(6)}")
    services = Services(project, environment, tmp_path_factory.mktemp("figures"), parsed)
    make_laundromat(
        services,
        CNPJ,
        clientes=[
            {
                "id": customer_id,
                "nome": "Nome de Exemplo",
                "dataNascimento": "1990-11-23T00:00:00Z",
                "cpf": cpf,
                "telefone": f"1190000{cpf[-4:]}",
                "dataCadastro": "2025-01-10T12:00:00Z",
            }
            for customer_id, cpf in CUSTOMERS.items()
        ],
        vendas=[
            sale(CUSTOMERS["eva"], "2026-10-21T20:00:00Z", 30.0, " volta-1 "),
            # More than a day after her last message.
            sale(CUSTOMERS["eva"], "2026-11-20T12:00:00Z", 10.0),
        ],
        message_history=[
            # A row of the older system.
            {
                "user_id": "davi",
                "campaign_type": "BIRTHDAY",
                "sent_at": "2025-11-23T15:00:00Z",
                "status": "SENT",
            },
            *(
                {
                    "user_id": "eva",
                    "campaign_type": "REACTIVATION",
                    "cycle_key": "2026-10",
                    "template_variant": "STAGE_1",
                    "voucher_code": "VOLTA-1",
                    **attempt,
                }
                for attempt in (
                    {
                        "attempt": 1,
                        "sent_at": "2026-10-20T13:00:00Z",
                        "status": "FAILED",
                        "error_code": "131049",
                    },
                    {"attempt": 2, "sent_at": "2026-10-21T13:00:00Z", "status": "READ"},
                )
            ),
        ],
    )
    change_settings(
        services,
        CNPJ,
        birthday_holdout_percent=50,
        birthday_voucher_prefix="VIP",
        conversion_days=1,
    )
    # With its CNPJ for a key, a laundromat has the codes that it gave before there were keys.
    client = bigquery_client(environment)
    client.delete_routine(f"{environment.project}.{CNPJ}_CAMPAIGN.{VOUCHER_KEY}")
    services.warehouse.create_function(
        f"{CNPJ}_CAMPAIGN", VOUCHER_KEY, body=f"'{CNPJ}'", description="A key of tests."
    )
    _record_runs(services)
    services.build(
        services.laundromat(CNPJ),
        as_of=AS_OF,
        arguments=[*("--select", "message_templates", "whatsapp_error_classes", "whatsapp_prices")],
    )
    first = build(services, AS_OF)

    add(
        services,
        "message_history",
        greeting("davi", "DELIVERED", voucher_code=DAVIS_CODE),
        greeting("eva", "READ", voucher_code=EVAS_CODE),
        greeting("gil", "FAILED", voucher_code="VIP-61E2CA04", error_code="131026"),
    )
    add(
        services,
        "vendas",
        sale(CUSTOMERS["davi"], "2026-11-23T20:00:00Z", 25.5, f" {DAVIS_CODE.lower()}"),
        sale("90000000900", "2026-11-24T12:00:00Z", 5.0, EVAS_CODE),
        sale(CUSTOMERS["gil"], "2026-11-24T09:00:00Z", 12.0),
        # The last second of the 24 hours, and the next.
        sale(CUSTOMERS["ana"], "2026-11-24T13:00:00Z", 40.0),
        sale(CUSTOMERS["bia"], "2026-11-24T13:00:01Z", 40.0),
    )
    later = build(services, LATER)
    again = build(services, LATER)

    services.warehouse.query(
        f"update `{CNPJ}_CAMPAIGN`.`message_history` "
        "set replied_at = timestamp '2026-11-25 20:00:00+00:00' "
        "where user_id = 'davi' and cycle_key = '2026'",
        doing="answering",
    )
    return Course(services, first, later, again, build_figures(services, LATER + DAY))


def _record_runs(services: Services) -> None:
    """Record an hour's runs of this laundromat and of another one."""
    steps = [
        {"step": "TRACK", "seconds": 1.5, "queries": 1, "rows": 7, "exit_code": 0},
        {"step": "BUILD", "seconds": 8.0, "queries": 6, "bytes_billed": 83886080, "exit_code": 1},
        {"step": "SYNC", "seconds": 99.0, "exit_code": 0},
    ]
    tables = {table.name: table for table in services.project.source_tables()}
    for cnpj in (CNPJ, NUMERIC_CNPJ):
        common = {"run_id": f"run of {cnpj}", "cnpj": cnpj, "exit_code": 0}
        services.warehouse.insert(
            tables["runs"],
            [{**common, "started_at": "2026-11-23T12:10:00Z", "steps": json.dumps(steps)}],
        )
        services.warehouse.insert(
            tables["sync_runs"],
            [{**common, "started_at": "2026-11-23T12:11:00Z", "rows_read": 3, "seconds": 2.5}],
        )


def performance(rows: Rows) -> dict[tuple[str, str, date], dict[str, int]]:
    """Return the counts that are not 0 by campaign, text and day."""
    return {
        (row["campaign_type"], row["template_variant"], row["business_date"]): {
            name: value for name, value in row.items() if isinstance(value, int) and value
        }
        for row in rows
    }


def some(rows: Rows, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row[column] for column in columns) for row in rows)


def test_what_was_sent_is_counted_on_its_day_and_late_news_reach_it(course: Course) -> None:
    past = {
        ("BIRTHDAY", "UNKNOWN", date(2025, 11, 23)): {
            "candidates": 1,
            "targets": 1,
            "attempts": 1,
            "sent": 1,
        },
        ("REACTIVATION", "STAGE_1", date(2026, 10, 20)): {
            "candidates": 1,
            "targets": 1,
            "attempts": 1,
            "failed": 1,
            "failed_deferred": 1,
        },
        ("REACTIVATION", "STAGE_1", date(2026, 10, 21)): {
            "attempts": 1,
            "sent": 1,
            "delivered": 1,
            "read": 1,
            "unpriced": 1,
        },
    }
    birthday = ("BIRTHDAY", "DEFAULT", date(2026, 11, 23))
    decided = {"candidates": 5, "held_out": 2, "targets": 3}
    assert performance(course.first["campaign_performance"]) == {**past, birthday: decided}
    # davi's and eva's greetings arrived, gil's did not.
    sent = {
        **decided,
        "attempts": 3,
        "sent": 2,
        "delivered": 2,
        "read": 1,
        "failed": 1,
        "failed_unreachable": 1,
        # Their receipts say nothing of a price.
        "unpriced": 2,
    }
    assert performance(course.later["campaign_performance"]) == {**past, birthday: sent}
    assert performance(course.replied["campaign_performance"]) == {
        **past,
        birthday: {**sent, "replied": 1},
    }


def test_the_log_keeps_who_was_a_target_and_who_was_held_out(course: Course) -> None:
    columns = ("customer_id", "cycle_key", "first_seen_at", "first_targeted_at", "voucher_code")
    davis_old, evas_old = (
        datetime.fromisoformat(at) for at in ("2025-11-23T15:00:00Z", "2026-10-20T13:00:00Z")
    )
    for log in (course.first["target_log"], course.later["target_log"]):
        assert some([row for row in log if row["first_targeted_at"]], *columns) == [
            ("davi", "2026", AS_OF, AS_OF, DAVIS_CODE),
            ("davi", "AT 2025-11-23 15:00:00.000000", None, davis_old, None),
            ("eva", "2026", AS_OF, AS_OF, EVAS_CODE),
            ("eva", "2026-10", None, evas_old, "VOLTA-1"),
            ("gil", "2026", AS_OF, AS_OF, "VIP-61E2CA04"),
        ]
        held_out = [row for row in log if row["first_held_out_at"]]
        assert some(held_out, "customer_id", "first_held_out_at", "last_blocker") == [
            ("ana", AS_OF, "HOLDOUT"),
            ("bia", AS_OF, "HOLDOUT"),
        ]
        assert len(log) == 7


def test_a_message_is_one_row_whatever_became_of_it(course: Course) -> None:
    columns = ("customer_id", "message_key", "attempt", "status", "error_class")
    before = [
        ("davi", "AT 2025-11-23 15:00:00.000000", 1, "SENT", None),
        ("eva", "2026-10", 2, "READ", None),
    ]
    assert some(course.first["messages"], *columns) == before
    assert some(course.later["messages"], *columns) == sorted(
        [
            *before,
            ("davi", "2026", 1, "DELIVERED", None),
            ("eva", "2026", 1, "READ", None),
            ("gil", "2026", 1, "FAILED", "unreachable"),
        ]
    )
    [davi] = [row for row in course.replied["messages"] if row["is_replied"]]
    assert (davi["customer_id"], davi["message_key"]) == ("davi", "2026")


def test_purchases_are_credited_and_codes_redeemed(course: Course) -> None:
    columns = ("customer_id", "message_key", "purchases", "revenue_brl")
    evas = ("eva", "2026-10", 1, Decimal(30))
    assert some(course.first["campaign_conversions"], *columns) == [evas]
    # gil bought, but his message failed.
    assert some(course.later["campaign_conversions"], *columns) == [
        ("davi", "2026", 1, Decimal("25.5")),
        evas,
    ]
    of_codes = ("voucher_code", "customer_id", "matched_by", "redemptions", "is_used_by_other")
    assert some(course.later["voucher_redemptions"], *of_codes) == [
        (EVAS_CODE, "eva", "CODE", 1, True),
        (DAVIS_CODE, "davi", "CODE", 1, False),
        ("VOLTA-1", "eva", "CODE", 1, False),
    ]
    of_rates = ("campaign_type", "sent", "redeemed", "redemption_rate", "revenue_brl")
    assert some(course.later["voucher_rates"], *of_rates) == [
        ("BIRTHDAY", 2, 2, 1.0, Decimal("30.5")),
        ("REACTIVATION", 1, 1, 1.0, Decimal(30)),
    ]


def test_the_control_group_is_compared_with_all_who_were_to_get_it(course: Course) -> None:
    columns = ("campaign_type", "treated", "treated_converted", "held_out", "held_out_converted")
    # No customer's 24 hours are over.
    assert some(course.first["campaign_lift"], *columns) == [("BIRTHDAY", 0, 0, 0, 0)]
    # davi and gil bought, eva did not; ana in time, bia a second too late.
    [lift] = course.later["campaign_lift"]
    assert some([lift], *columns) == [("BIRTHDAY", 3, 2, 2, 1)]
    # 2 / 3 - 1 / 2
    assert (lift["lift"], lift["verdict"]) == (0.1667, "TOO_FEW_TO_TELL")


def test_another_laundromats_runs_never_show(course: Course) -> None:
    columns = ("cnpj", "step", "runs", "failed_runs", "rows_read", "seconds")
    for figures in (course.first, course.later):
        assert some(figures["run_health"], *columns) == [
            (CNPJ, "BUILD", 1, 1, None, 8.0),
            (CNPJ, "SYNC", 1, 0, 3, 2.5),
            (CNPJ, "TRACK", 1, 0, 7, 1.5),
        ]


def test_building_again_changes_nothing_and_leaves_nothing_behind(course: Course) -> None:
    assert course.again == course.later
    tables = course.services.warehouse.query(
        f"select table_name from `{CNPJ}_CAMPAIGN`.INFORMATION_SCHEMA.TABLES", doing="listing"
    )
    assert {row["table_name"] for row in tables} == {
        *TABLES,
        "customer_facts",
        "campaign_decisions",
        "campaign_targets",
        "target_publication",
        "message_templates",
        "whatsapp_error_classes",
        "whatsapp_prices",
        "message_history",
        "opt_outs",
    }


def test_bigquery_would_take_what_builds_on_tables_that_are_there(
    course: Course, project: Project, parsed: ParsedProject, analysis: Analysis, tmp_path: Path
) -> None:
    anew = analyze_project(
        parsed,
        course.services.environment,
        CNPJ,
        tmp_path,
        only=" ".join((*INCREMENTAL, "whatsapp_error_classes", "whatsapp_prices")),
        built=analysis.columns,
    )
    assert anew.errors == {}
    for name in INCREMENTAL:
        statement = anew.statements[name]
        assert "interval 45 day" in statement
        assert "interval 45 day" not in analysis.statements[name]
        assert not partition_problems(statement, project.source_tables()).problems
        # MERGE matches columns by name.
        assert anew.columns[name].keys() == analysis.columns[name].keys()
    # docs/figures.md says what a day costs; a MERGE references the table it writes to.
    dataset = f"{course.services.environment.project}.{CNPJ}_CAMPAIGN"
    referenced = {
        **{name: analysis.tables[name] for name in (*TABLES, "assert_figures_add_up")},
        **{name: anew.tables[name] | {f"{dataset}.{name}"} for name in INCREMENTAL},
    }
    assert sum(map(len, referenced.values())) == 25
