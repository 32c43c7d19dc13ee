"""`vmhub report` on the emulator: the tables' rows become the page's figures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from console.report.figures import FAILURE_CLASSES, Sums
from loader.base.errors import ConfigurationError, ExitCode
from loader.cli.app import app
from loader.cli.report import figures_of_laundromat
from tests.loader.published import publish
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, NUMERIC_CNPJ, make_laundromat

if TYPE_CHECKING:
    from pathlib import Path

    from loader.base.cnpj import Cnpj
    from loader.services import Services

PEOPLE = {"Ana Exemplo", "+5511900000001", "11900000001", "52998224725"}

# The type of each column; the report must ignore the columns that it does not use.
COUNTS = (
    *("candidates", "held_out", "targets", "attempts", "sent", "delivered", "read", "replied"),
    "failed",
    *(f"failed_{name}" for name in FAILURE_CLASSES),
    *("billed", "unpriced"),
)
TABLES = {
    "campaign_performance": {
        "cnpj": "string",
        "campaign_type": "string",
        "template_variant": "string",
        "business_date": "date",
        **dict.fromkeys(COUNTS, "int64"),
        "cost_brl": "numeric",
        "delivery_rate": "float64",
    },
    "campaign_conversions": {
        "campaign_type": "string",
        "template_variant": "string",
        "customer_id": "string",
        "sent_on": "date",
        "first_purchase_on": "date",
        "purchases": "int64",
        "revenue_brl": "numeric",
    },
    "voucher_redemptions": {
        "voucher_code": "string",
        "campaign_type": "string",
        "template_variant": "string",
        "customer_id": "string",
        "sent_on": "date",
        "redemptions": "int64",
        "first_redeemed_on": "date",
        "revenue_brl": "numeric",
    },
    "campaign_lift": {
        "campaign_type": "string",
        "treated": "int64",
        "treated_converted": "int64",
        "held_out": "int64",
        "held_out_converted": "int64",
        "treated_rate": "float64",
        "held_out_rate": "float64",
        "lift": "float64",
        "lift_low": "float64",
        "lift_high": "float64",
        "verdict": "string",
    },
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "campaign_performance": [
        {
            "campaign_type": "LOYALTY",
            "template_variant": "GOLD",
            "business_date": "2026-11-22",
            "candidates": 9,
            "targets": 7,
            "attempts": 7,
            "sent": 6,
            "delivered": 5,
            "read": 3,
            "replied": 1,
            "failed": 1,
            "failed_unreachable": 1,
        },
        {
            "campaign_type": "LOYALTY",
            "template_variant": "BRONZE",
            "business_date": "2026-11-23",
            "candidates": 4,
            "held_out": 1,
            "targets": 3,
            "attempts": 3,
            "sent": 3,
            "delivered": 3,
            "read": 2,
        },
        # The writer of this row used the columns for something else.
        {
            "campaign_type": "Ana Exemplo",
            "template_variant": "11900000001",
            "business_date": "2026-11-17",
            "sent": 1,
            "attempts": 1,
        },
        # The day before the first.
        {"campaign_type": "LOYALTY", "business_date": "2026-11-16", "sent": 100, "attempts": 100},
        # The laundromat's day is not over, but in UTC the next day has begun.
        {"campaign_type": "LOYALTY", "business_date": "2026-11-24", "sent": 50, "attempts": 50},
    ],
    "campaign_conversions": [
        {
            "campaign_type": "LOYALTY",
            "template_variant": "GOLD",
            "customer_id": "11900000001",
            "sent_on": "2026-11-22",
            "first_purchase_on": "2026-11-23",
            "purchases": 2,
            "revenue_brl": "40.10",
        },
        {
            "campaign_type": "LOYALTY",
            "template_variant": "GOLD",
            "sent_on": "2026-11-22",
            "purchases": 1,
            "revenue_brl": "0.20",
        },
        # Bought within the period, after a message before it.
        {
            "campaign_type": "LOYALTY",
            "template_variant": "GOLD",
            "sent_on": "2026-11-16",
            "first_purchase_on": "2026-11-23",
            "purchases": 1,
            "revenue_brl": "999",
        },
    ],
    "voucher_redemptions": [
        {
            "voucher_code": "OURO1",
            "campaign_type": "LOYALTY",
            "template_variant": "GOLD",
            "customer_id": "Ana Exemplo",
            "sent_on": "2026-11-22",
            "redemptions": 1,
            "first_redeemed_on": "2026-11-23",
            "revenue_brl": "25.00",
        },
        {
            "voucher_code": "OURO2",
            "campaign_type": "LOYALTY",
            "template_variant": "GOLD",
            "sent_on": "2026-11-22",
            "redemptions": 0,
        },
        {
            "voucher_code": "OURO3",
            "campaign_type": "LOYALTY",
            "template_variant": "GOLD",
            "sent_on": "2026-11-01",
            "redemptions": 1,
            "first_redeemed_on": "2026-11-23",
            "revenue_brl": "25.00",
        },
        {
            "voucher_code": "OURO9",
            "campaign_type": "LOYALTY",
            "redemptions": 1,
            "first_redeemed_on": "2026-11-23",
            "revenue_brl": "18.50",
        },
    ],
    "campaign_lift": [
        {
            "campaign_type": "LOYALTY",
            "treated": 200,
            "treated_converted": 60,
            "held_out": 100,
            "held_out_converted": 15,
            "treated_rate": 0.3,
            "held_out_rate": 0.15,
            "lift": 0.15,
            "lift_low": 0.05,
            "lift_high": 0.235,
            "verdict": "MORE_PURCHASES",
        },
    ],
}


def make_figures(services: Services, cnpj: Cnpj, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Create the tables of figures with these rows; columns that a row leaves out are NULL."""
    for name, columns in TABLES.items():
        # If there are no rows, a row that is filtered out still defines the columns.
        selects = [
            ", ".join(
                f"{_cell(row.get(column), type_)} as {column}" for column, type_ in columns.items()
            )
            for row in rows.get(name) or [{}]
        ]
        services.warehouse.query(
            f"create or replace table `{cnpj}_CAMPAIGN`.`{name}` as select * from "
            f"({' union all '.join(f'select {cells}' for cells in selects)}) as row_ "
            f"where {bool(rows.get(name))}",
            doing=f"making {name}",
        )


def _cell(value: Any, type_: str) -> str:
    return f"cast({'null' if value is None else repr(str(value))} as {type_})"


@pytest.fixture
def laundromat(services: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    """A registered laundromat with one person, whose targets were once published."""
    person = {
        "id": "1",
        "nome": "Ana Exemplo",
        "telefone": "11900000001",
        "cpf": "52998224725",
        "dataCadastro": "2025-01-10T12:00:00Z",
    }
    make_laundromat(services, ALPHANUMERIC_CNPJ, timezone="America/Manaus", clientes=[person])
    publish(services.warehouse, ALPHANUMERIC_CNPJ, [])
    for name, value in services.environment.variables().items():
        monkeypatch.setenv(name, value)
    return services


def report(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["report", "--cnpj", ALPHANUMERIC_CNPJ, *arguments])


def test_the_page_and_the_json_say_what_the_tables_say_and_name_nobody(
    laundromat: Services, tmp_path: Path
) -> None:
    make_figures(laundromat, ALPHANUMERIC_CNPJ, ROWS)
    page = tmp_path / "report.html"

    # 03:59 of the 24th in UTC is 23:59 of the 23rd in Manaus.
    late = "2026-11-24T03:59:00Z"
    result = report("--days", "7", "--as-of", late, "--out", str(page), "--json")

    assert result.exit_code == ExitCode.OK, result.output
    figures = json.loads(result.stdout)
    assert figures["period"] == {"first_on": "2026-11-17", "last_on": "2026-11-23"}
    totals = figures["totals"]
    assert {name: value for name, value in totals.items() if value not in {0, "0.00"}} == {
        "candidates": 13,
        "held_out": 1,
        "targets": 10,
        "attempts": 11,
        "sent": 10,
        "delivered": 8,
        "read": 5,
        "replied": 1,
        "failed": 1,
        "failed_unreachable": 1,
        "converted": 2,
        "purchases": 3,
        "revenue_brl": "40.30",
        "vouchers_sent": 2,
        "vouchers_redeemed": 1,
        "voucher_revenue_brl": "25.00",
        "vouchers_untraced": 1,
        "untraced_revenue_brl": "18.50",
    }
    assert [(day["on"], day["sent"]) for day in figures["days"] if day["sent"]] == [
        ("2026-11-17", 1),
        ("2026-11-22", 6),
        ("2026-11-23", 3),
    ]
    assert [
        (
            campaign["campaign_type"],
            [variant["template_variant"] for variant in campaign["variants"]],
        )
        for campaign in figures["campaigns"]
    ] == [("LOYALTY", ["BRONZE", "GOLD", "UNKNOWN"]), ("OTHER", ["OTHER"])]
    assert figures["campaigns"][0]["lift"]["verdict"] == "MORE_PURCHASES"

    content = page.read_text(encoding="utf-8")
    for said in (
        "Lavanderia de Teste",
        "12.ABC.345/01DE-35",
        "17/11/2026 a 23/11/2026 (7 dias)",
        "23/11/2026 às 09:00",
        "<strong>10</strong>",
        "R$\u00a040,30",
        "1 cupom foi usado sem registro de envio: R$\u00a018,50",
        "A diferença está entre +5 e +23,5 pontos",
    ):
        assert said in content
    assert not [secret for secret in PEOPLE if secret in content + result.output]


def test_a_laundromat_whose_tables_are_empty_gets_a_page(
    laundromat: Services, tmp_path: Path
) -> None:
    make_figures(laundromat, ALPHANUMERIC_CNPJ, {})
    page = tmp_path / "report.html"
    result = report("--as-of", AS_OF.isoformat(), "--out", str(page))
    assert result.exit_code == ExitCode.OK, result.output
    assert "2026-10-25 to 2026-11-23: 0 sent" in result.stdout
    assert "Ainda não há mensagens neste período" in page.read_text(encoding="utf-8")


def test_tables_that_were_never_built_are_answered_with_the_command_that_builds_them(
    laundromat: Services, tmp_path: Path
) -> None:
    out = ("--out", str(tmp_path / "report.html"))
    result = report(*out)
    assert isinstance(result.exception, ConfigurationError)
    assert f"run `vmhub build --cnpj {ALPHANUMERIC_CNPJ} --selector daily`" in str(result.exception)

    make_figures(laundromat, ALPHANUMERIC_CNPJ, ROWS)
    laundromat.warehouse.query(
        f"drop table `{ALPHANUMERIC_CNPJ}_CAMPAIGN`.`campaign_lift`", doing="dropping a table"
    )
    result = report(*out)
    assert isinstance(result.exception, ConfigurationError)
    assert "--selector daily" in result.exception.hint
    assert not list(tmp_path.glob("*.html"))


def test_a_laundromat_that_was_never_built_is_told_to(services: Services) -> None:
    make_laundromat(services, NUMERIC_CNPJ)
    with pytest.raises(ConfigurationError, match="has never been published: run `vmhub build"):
        figures_of_laundromat(services, NUMERIC_CNPJ, as_of=AS_OF, days=30)


def test_another_laundromats_rows_are_not_read(laundromat: Services) -> None:
    make_laundromat(laundromat, NUMERIC_CNPJ)
    publish(laundromat.warehouse, NUMERIC_CNPJ, [])
    make_figures(laundromat, NUMERIC_CNPJ, {})
    make_figures(laundromat, ALPHANUMERIC_CNPJ, ROWS)
    instant = datetime(2026, 11, 23, 13, tzinfo=UTC)
    assert figures_of_laundromat(laundromat, NUMERIC_CNPJ, as_of=instant, days=7).totals == Sums()
    own = figures_of_laundromat(laundromat, ALPHANUMERIC_CNPJ, as_of=instant, days=7)
    assert own.totals.revenue_brl == Decimal("40.30")
