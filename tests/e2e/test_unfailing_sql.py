"""No row of RAW ends a build: nothing in our SQL can fail on a value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from sqlglot import exp, parse_one

from loader.dbt.runner import Dbt
from loader.dbt.spec import BuildSpec
from tests.googlesql import evaluate
from tests.support import ALPHANUMERIC_CNPJ, AS_OF

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loader.base.environment import Environment
    from loader.bigquery.declaration import SourceTable
    from loader.dbt.project import Project
    from loader.dbt.runner import ParsedProject
    from tests.googlesql import Analysis

# Functions that fail on some value; each has a SAFE_ form or another way to say it.
FAILING = re.compile(
    r"(?i)(?<!safe\.)\b(parse_\w+|error|code_points_to_string|from_base64|ln|log)\("
)
# What cannot fail all the same: nothing is no number, and NUMERIC is always a FLOAT64.
CANNOT_FAIL = {"CAST(loyalty_spent_brl AS FLOAT64)"}

INSTANTS = {
    "first": "0001-01-01 00:00:00+00:00",
    "too early": "1899-12-31 23:59:59.999999+00:00",
    "earliest": "1900-01-01 00:00:00+00:00",
    "latest": "2026-11-23 13:00:00+00:00",
    "to come": "2099-12-31 23:59:59.999999+00:00",
    "too late": "2100-01-01 00:00:00+00:00",
    "last": "9999-12-31 23:59:59.999999+00:00",
    "missing": None,
}


def casts_that_can_fail(sql: str) -> Iterator[str]:
    """Return the casts of a statement that some value makes fail."""
    for cast in parse_one(sql, read="bigquery").find_all(exp.Cast):
        is_literal = isinstance(cast.this, (exp.Null, exp.Literal, exp.Array))
        is_text = cast.to.is_type(exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR)
        written = cast.sql(dialect="bigquery")
        if not (isinstance(cast, exp.TryCast) or is_literal or is_text or written in CANNOT_FAIL):
            yield written


def test_no_statement_casts_or_parses_what_can_fail(analysis: Analysis) -> None:
    assert {"customer_facts", "campaign_decisions", "voucher_redemptions"} <= set(
        analysis.statements
    )
    found = {
        name: [*casts_that_can_fail(sql), *FAILING.findall(sql)]
        for name, sql in analysis.statements.items()
    }
    assert {name: casts for name, casts in found.items() if casts} == {}


@pytest.mark.parametrize(
    ("sql", "casts"),
    [
        ("select cast(valor as numeric) from t", ["CAST(valor AS NUMERIC)"]),
        ("select safe_cast(valor as numeric), cast(data as string), cast(null as date) from t", []),
        ("select date '2026-11-23', timestamp '2026-11-23 00:00:00Z' from t", []),
    ],
)
def test_a_cast_that_can_fail_is_found(sql: str, casts: list[str]) -> None:
    assert list(casts_that_can_fail(sql)) == casts


def _rows(table: SourceTable, instants: dict[str, str | None]) -> str:
    """Return a subquery: one row for each instant, which all its instants are."""
    columns = []
    for column in table.columns:
        if column.data_type == "TIMESTAMP":
            columns.append(f"instant as {column.name}")
        elif column.name in {"id", "user_id"}:
            columns.append(f"name as {column.name}")
        elif column.name in {"campaign_type", "status"}:
            word = "BIRTHDAY" if column.name == "campaign_type" else "COMPLETED"
            columns.append(f"'{word}' as {column.name}")
        elif column.name in {"cpf", "cpfCliente"}:
            columns.append(f"'90000000100' as {column.name}")
        else:
            columns.append(f"cast(null as {column.data_type}) as {column.name}")
    rows = ", ".join(
        f"struct('{name}' as name, {f'timestamp {instant!r}' if instant else 'null'} as instant)"
        for name, instant in instants.items()
    )
    return f"(select {', '.join(columns)} from unnest([{rows}]))"


@pytest.mark.parametrize(
    "timezone", ["America/Sao_Paulo", "America/Rio_Branco", "Pacific/Kiritimati"]
)
def test_google_takes_the_first_and_last_instants_of_time(
    project: Project,
    parsed: ParsedProject,
    environment: Environment,
    tmp_path: Path,
    timezone: str,
) -> None:
    spec = BuildSpec({"cnpj": ALPHANUMERIC_CNPJ, "timezone": timezone}, AS_OF)
    results = Dbt(parsed, environment, tmp_path).run(
        spec, ["compile", "--select", "customer_facts"]
    )
    [sql] = [
        result.node.compiled_code for result in results if result.node.resource_type == "model"
    ]
    for table in project.source_tables():
        path = f"`{environment.project}`.`{table.dataset(ALPHANUMERIC_CNPJ)}`.`{table.name}`"
        sql = sql.replace(path, _rows(table, INSTANTS))
    assert "_RAW`" not in sql

    found = evaluate(
        "select customer_id, registered_at is not null, registered_on is not null, "
        f"array_length(messages), has_opted_out from ({sql}) order by customer_id"
    )

    # An opt-out without an instant that can be holds since always, a message before time counts.
    undated = [name for name in INSTANTS if name in {"first", "too early", "too late", "last"}]
    assert {row[0]: row[1:3] for row in found} == {
        "earliest": (True, True),
        "latest": (True, True),
        "missing": (False, False),
        **dict.fromkeys(undated, (False, False)),
    }
    # All have one CPF: each message that is not to come counts for each of them.
    assert {row[3] for row in found} == {4}
    assert all(row[4] for row in found)
