"""Rows of RAW, of the history and of the opt-outs, whatever all their columns hold.

None ends a build, and the emulator makes the same facts of them as Google's own evaluator.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from loader.dbt.spec import BuildSpec
from tests.googlesql import evaluate, type_name
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, decisions, make_laundromat, targets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loader.bigquery.declaration import SourceTable
    from loader.dbt.project import Project
    from loader.services import Services
    from tests.googlesql import Analysis

_TABLES = {"clientes", "vendas", "message_history", "opt_outs"}
# All tables with the gate, and the figures.
_ARGUMENTS = [
    *("--select", "+target_publication", "path:models/tracking", "resource_type:seed"),
    *("assert_nobody_is_messaged_twice", "--indirect-selection", "empty"),
]
# Few ids, phones and CPFs, so that rows of different tables meet.
_LIKELY = st.sampled_from(
    [
        *("a", "b", "c/d", "__x__", "", " ", "Ana Exemplo", "CONSUMIDOR FINAL", "\u200b", "🌻"),
        *("11900000001", "+55 (11) 90000-0002", "+51 987 651 012", "96666-1006", "1199991007.0"),
        *("52998224725", "529.982.247-25", "***.456.789-**", "1,23457E+10", "00000000000"),
        *("completed", "COMPLETED", "SENT", "FAILED", "READ", "BIRTHDAY", "loyalty", "WELCOME"),
        *("2026", "R1", "NIVER-1A2B3C03", "sem cupom", "0", "null", "{first_name}", "%s", "'\"`"),
    ]
)
_TEXT = st.one_of(_LIKELY, _LIKELY, st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
_INSTANT = st.sampled_from(
    [
        *("0001-01-01T00:00:00Z", "1899-12-31T23:59:59.999999Z", "1900-01-01T00:00:00Z"),
        *("1970-01-01T00:00:00Z", "1990-11-23T00:00:00Z", "1992-02-29T00:00:00Z"),
        *("2026-08-23T02:59:59Z", "2026-08-23T03:00:00Z", "2026-10-20T12:00:00Z"),
        *("2026-11-21T15:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T12:59:59.999999Z"),
        *("2026-11-23T13:00:00Z", "2099-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z"),
    ]
)
# Among all the others, a birthday and somebody new.
_EMPTY = dict.fromkeys(("email", "genero", "primeiraCompra"))
_CANDIDATES: list[dict[str, Any]] = [
    {
        **_EMPTY,
        "id": name,
        "nome": "Bia Exemplo",
        "telefone": f"1190000001{number}",
        "cpf": f"9000000010{number}",
        "dataNascimento": f"{born}T00:00:00Z",
        "dataCadastro": registered,
    }
    for number, (name, born, registered) in enumerate(
        [
            ("born today", "1981-11-23", "2026-01-10T12:00:00Z"),
            ("new", "1982-05-01", "2026-11-22T15:00:00Z"),
        ]
    )
]
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "STRING": _TEXT,
    "TIMESTAMP": _INSTANT,
    "FLOAT64": st.one_of(
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from([20.0, -0.0, 9.9e28, -9.9e28, 1.7e308]),
    ),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "BOOL": st.booleans(),
}


def _rows(table: SourceTable) -> st.SearchStrategy[list[dict[str, Any]]]:
    columns = {
        column.name: st.one_of(*3 * [_VALUES[column.data_type]], st.none())
        for column in table.columns
    }
    return st.lists(st.fixed_dictionaries(columns), min_size=25, max_size=40)


def test_no_row_ends_a_build_and_google_makes_the_same_of_it(
    project: Project, services: Services, analysis: Analysis
) -> None:
    tables = [table for table in project.source_tables() if table.name in _TABLES]
    assert {table.name for table in tables} == _TABLES
    make_laundromat(services, ALPHANUMERIC_CNPJ, clientes=_CANDIDATES)
    laundromat = services.laundromat(ALPHANUMERIC_CNPJ)
    decided: set[str] = set()
    loaded: dict[str, list[dict[str, Any]]] = {table.name: [] for table in tables}
    loaded["clientes"] += _CANDIDATES

    # Each example adds to the rows of those before.
    @settings(
        max_examples=4,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(rows=st.fixed_dictionaries({table.name: _rows(table) for table in tables}))
    def build(rows: dict[str, list[dict[str, Any]]]) -> None:
        for table in tables:
            services.warehouse.append(table, ALPHANUMERIC_CNPJ, rows[table.name])
            loaded[table.name] += rows[table.name]
        services.build(laundromat, as_of=AS_OF, arguments=_ARGUMENTS)
        decided.update(campaign for campaign, _ in decisions(services, ALPHANUMERIC_CNPJ))
        for target in targets(services, ALPHANUMERIC_CNPJ):
            assert target.customer_id

    build()
    assert decided >= {"BIRTHDAY", "WELCOME"}

    columns = ", ".join(
        _comparable(name, type_) for name, type_ in analysis.columns["customer_facts"].items()
    )
    by_emulator = services.warehouse.query(
        f"select {columns} from `{ALPHANUMERIC_CNPJ}_CAMPAIGN`.`customer_facts` "
        "order by customer_id",
        doing="reading the facts",
    )
    results = services.dbt.run(
        BuildSpec(laundromat.settings, AS_OF), ["compile", "--select", "customer_facts"]
    )
    [sql] = [
        result.node.compiled_code for result in results if result.node.resource_type == "model"
    ]
    for table in tables:
        path = f"`{table.dataset(ALPHANUMERIC_CNPJ)}`.`{table.name}`"
        sql = sql.replace(f"`{services.environment.project}`.{path}", _literal(table, loaded))
    assert "_RAW`" not in sql
    by_google = evaluate(f"select {columns} from ({sql}) order by customer_id")
    assert len(by_google) > 20
    # BigQuery's TRIM takes off all blanks of Unicode, the emulator's only spaces: it keeps others
    # around texts, and ids that are nothing else.
    known = {row[0] for row in by_google}
    found = [
        _without_blanks_around(row.values())
        for row in by_emulator
        if row["customer_id"] in known or row["customer_id"].strip()
    ]
    for mine, other in zip(found, map(_without_blanks_around, by_google), strict=True):
        # Sums of amounts depend on the order in which rows are added.
        assert mine == [
            pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
            for value in other
        ]


def _without_blanks_around(values: Iterable[Any]) -> list[Any]:
    return [value.strip() if isinstance(value, str) else value for value in values]


def _comparable(name: str, type_: Any) -> str:
    """Return SQL for a column's value in a form in which both engines return it."""
    match type_name(type_):
        case "TIMESTAMP":
            return f"unix_micros({name}) as {name}"
        case "DATE":
            return f"unix_date({name}) as {name}"
        case "NUMERIC":
            return f"cast({name} as float64) as {name}"
        case "STRING" | "INT64" | "BOOL" | "FLOAT64":
            return name
        case _:
            return f"array_length({name}) as {name}"


def _literal(table: SourceTable, rows: dict[str, list[dict[str, Any]]]) -> str:
    """Return a subquery with a table's rows."""
    type_ = ", ".join(f"{column.name} {column.data_type}" for column in table.columns)
    values = ", ".join(
        f"({', '.join(_value(column.data_type, row[column.name]) for column in table.columns)})"
        for row in rows[table.name]
    )
    return f"(select * from unnest(array<struct<{type_}>>[{values}]))"


def _value(data_type: str, value: Any) -> str:
    if value is None:
        return "null"
    match data_type:
        case "STRING":
            return json.dumps(value, ensure_ascii=False)
        case "TIMESTAMP":
            return f"timestamp '{value}'"
        case _:
            return str(value).lower()
