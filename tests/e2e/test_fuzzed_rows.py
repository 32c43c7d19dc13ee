"""No row of RAW, of the history or of the opt-outs ends a build, whatever all its columns hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support import ALPHANUMERIC_CNPJ, AS_OF, decisions, make_laundromat, targets

if TYPE_CHECKING:
    from loader.bigquery.declaration import SourceTable
    from loader.dbt.project import Project
    from loader.services import Services

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


def test_no_row_ends_a_build(project: Project, services: Services) -> None:
    tables = [table for table in project.source_tables() if table.name in _TABLES]
    assert {table.name for table in tables} == _TABLES
    make_laundromat(services, ALPHANUMERIC_CNPJ)
    laundromat = services.laundromat(ALPHANUMERIC_CNPJ)
    decided: set[str] = set()

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
        services.build(laundromat, as_of=AS_OF, arguments=_ARGUMENTS)
        decided.update(campaign for campaign, _ in decisions(services, ALPHANUMERIC_CNPJ))
        for target in targets(services, ALPHANUMERIC_CNPJ):
            assert target.customer_id

    build()
    assert decided >= {"BIRTHDAY", "WELCOME"}
