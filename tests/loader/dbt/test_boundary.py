"""What one laundromat's build may ask BigQuery for, and what not."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from dbt_common.exceptions import DbtRuntimeError

from loader.dbt.boundary import REFUSED, Boundary, bounded, guarded
from loader.dbt.statements import statement_problem
from tests.support import ALPHANUMERIC_CNPJ, NUMERIC_CNPJ

if TYPE_CHECKING:
    from loader.local.stack import LocalStack
    from tests.googlesql import Analysis

OWN, OTHER = ALPHANUMERIC_CNPJ, NUMERIC_CNPJ
WRITES = f"{OWN}_CAMPAIGN"


def problem(sql: str, *, may_read_ops: bool = False) -> str:
    return statement_problem(sql, cnpj=OWN, project="p", writes=WRITES, may_read_ops=may_read_ops)


@pytest.mark.parametrize(
    "sql",
    [
        f"select * from `p`.`{OWN}_RAW`.`clientes`",
        f"with own as (select 1 as x) select * from own, `{OWN}_CAMPAIGN`.`t`",
        f"select * from `{OWN}_RAW.clientes` as c, unnest(c.items)",
        f"create or replace table `p`.`{WRITES}`.`t` partition by day as (select 1 as day)",
        (
            f"merge into `p`.`{WRITES}`.`t` as a using (select 1 as x) as b on a.x = b.x "
            "when matched then update set x = 1"
        ),
        f"drop table if exists `p`.`{WRITES}`.`t`",
        f"create schema if not exists `p`.`{WRITES}`",
        "select net.host('x'), safe.ln(1), 'call me', '{}' as `execute immediate`",
        f"select * from `{OWN}_CAMPAIGN`.INFORMATION_SCHEMA.TABLES",
        f"select `p.{OWN}_CAMPAIGN.voucher_key`(), `p`.`{OWN}_CAMPAIGN`.`voucher_key`()",
    ],
)
def test_a_laundromats_own_tables_are_its_own(sql: str) -> None:
    assert problem(sql) == ""


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (f"select * from `p`.`{OTHER}_RAW`.`clientes`", f"it names {OTHER}_RAW"),
        (f"select * from `p`.`{OTHER.lower()}_raw`.clientes", f"{OTHER}_raw"),
        (f"select '{OTHER}_CAMPAIGN' as x", f"it names {OTHER}_CAMPAIGN"),
        (f"select * from `p`.`1{OWN}_RAW`.t", f"it reads p.1{OWN}_RAW.t"),
        (f"select * from `p`.`{OWN.lower()}_RAW`.t", "it names"),
        (f"select * from `q`.`{OWN}_RAW`.t", "of another project"),
        ("select * from `p.shared.t`", "it reads p.shared.t"),
        ("select array(select x from shared.t) as x", "it reads shared.t"),
        ("select * from clientes", "it names clientes without its dataset"),
        ("select * from `region-us`.INFORMATION_SCHEMA.JOBS", "region-us.INFORMATION_SCHEMA"),
        ("select * from INFORMATION_SCHEMA.SCHEMATA", "INFORMATION_SCHEMA"),
        ("select * from external_query('c', 'select 1')", "table function external_query"),
        ("select * from shared.people(1)", "table function"),
        ("select `p.shared.name_of`(1)", "it calls the function p.shared.name_of"),
        ("select shared.name_of(1)", "it calls the function shared.name_of"),
        (f"select `p.{OWN}_CAMPAIGN.other`()", "it calls the function"),
        (f"select `p.{OWN}_RAW.voucher_key`()", "it calls the function"),
        (f"select `q.{OWN}_CAMPAIGN.voucher_key`()", "it calls the function"),
        (f"select concat(p.{OWN}_CAMPAIGN.voucher_key(), 'a')", "not SQL that the check can read"),
        (f"select * from vector_search(table `{OWN}_RAW.a`, 'x', table b.c)", "table function"),
        (f"select * from appends(table `{OWN}_RAW.a`, null, null)", "not SQL that the check"),
        ("execute immediate 'select 1'", "it is EXECUTE"),
        ("call shared.f()", "it is CALL"),
        ("begin select 1; end", "it is BEGIN"),
        ("declare x int64; select x", "it is DECLARE"),
        ("export data options(uri='gs://x') as select 1", "it is EXPORT"),
        ("load data into t from files(uris=['gs://x'])", "it is LOADDATA"),
        ("create temp function f() as (1); select f()", "it is CREATE FUNCTION"),
        (f"drop schema `{WRITES}`", "it is DROP SCHEMA"),
        (f"create external table `{WRITES}`.t options(uris=['x'])", "an external table"),
        (f"select 1; truncate table `{OWN}_RAW`.clientes", "it writes"),
        (f"insert into `{WRITES}`.t select * from shared.t", "it reads shared.t"),
        (f"create table `{WRITES}`.t clone shared.t", "it reads shared.t"),
        ("grant `roles/bigquery.dataViewer` on schema x to 'user:x@example.com'", ""),
        ("select * from `00000000000000_RAW`.t", "the placeholder"),
    ],
)
def test_what_is_not_its_own_is_named(sql: str, said: str) -> None:
    found = problem(sql)
    assert found
    assert said in found


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("/* {} */\nselect\n    dates '2026-11-23 13:00:00.000000+00:00', 1", "token at [3:11]"),
        (f"select '{OWN}' as x\nfrom (select 1 as y", "Expecting ) at [2:19]"),
        ("select 'no end", "can read"),
    ],
)
def test_a_syntax_error_is_said_with_its_place_in_what_is_sent(sql: str, said: str) -> None:
    assert problem(sql).endswith(said)


@pytest.mark.parametrize(
    ("where", "is_own"),
    [
        (f"where cnpj = '{OWN}'", True),
        (f"where started_at > current_timestamp() and cnpj = '{OWN}' and true", True),
        ("", False),
        (f"where cnpj = '{OWN}' or true", False),
        (f"where not (cnpj = '{OWN}')", False),
        (f"where cnpj != '{OWN}'", False),
        (f"where cnpj = '{OTHER}'", False),
    ],
)
def test_of_the_shared_logs_only_its_own_rows_are_read_and_by_those_who_say_so(
    where: str,
    is_own: bool,  # noqa: FBT001 - a parameter
) -> None:
    sql = f"with runs as (select * from `p`.`VMHUB_OPS`.`runs` {where}) select * from runs"
    assert (problem(sql, may_read_ops=True) == "") is is_own
    assert "it reads p.VMHUB_OPS.runs" in problem(sql)


def test_another_hour_and_another_laundromat_need_no_parse_of_their_own() -> None:
    body = "select {} from `p`.`{}_RAW`.`clientes` where dataCadastro <= timestamp '{}'"
    many = ", ".join(f"{number} as c{number}" for number in range(3000))

    def seconds(cnpj: Any, instant: str) -> float:
        began = time.process_time()
        labels = f'/* {{"app": "vmhub", "cnpj": "{cnpj.lower()}"}} */'
        sql = f"{labels}\n{body.format(many, cnpj, instant)}"
        assert statement_problem(sql, cnpj=cnpj, project="p", writes=f"{cnpj}_CAMPAIGN") == ""
        return time.process_time() - began

    first = seconds(OWN, "2026-11-23 13:00:00.000000+00:00")
    again = seconds(OTHER, "2027-01-02 03:04:05.678901+00:00")
    assert again < first / 5


BOUNDARY = Boundary(OWN, "p", WRITES)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (f"/projects/p/datasets/{OTHER}_RAW/tables/clientes", None),
        (f"/projects/p/datasets/{OTHER}_CAMPAIGN", None),
        ("/projects/p/datasets", {"datasetReference": {"datasetId": "191_CAMPAIGN"}}),
        ("/projects/p/queries", {"query": f"select * from `{OTHER}_RAW`.t"}),
        ("/projects/p/jobs", {"configuration": {"query": {"query": "select * from a.b"}}}),
        (
            "/projects/p/jobs",
            {"configuration": {"query": {"query": "select 1", "useLegacySql": True}}},
        ),
        (
            "/projects/p/jobs",
            {
                "configuration": {
                    "query": {
                        "query": "select 1",
                        "destinationTable": {"datasetId": f"{OTHER}_CAMPAIGN"},
                    }
                }
            },
        ),
        (
            "/projects/p/jobs",
            {"configuration": {"copy": {"sourceTables": [{"datasetId": f"{OTHER}_RAW"}]}}},
        ),
        (
            "/projects/p/jobs",
            {"configuration": {"extract": {"sourceTable": {"datasetId": f"{OTHER}_RAW"}}}},
        ),
    ],
)
def test_no_request_of_any_kind_reaches_another_dataset(path: str, data: Any) -> None:
    assert BOUNDARY.request_problem(path, data)
    sent: list[Any] = []
    loaded: list[Any] = []
    connection = SimpleNamespace(api_request=lambda **request: sent.append(request))
    client = SimpleNamespace(
        _connection=connection,
        load_table_from_file=lambda *arguments, **_: loaded.append(arguments),
    )
    client = guarded(lambda _: client)(None)
    with bounded(BOUNDARY):
        with pytest.raises(DbtRuntimeError, match=REFUSED):
            client._connection.api_request(method="POST", path=path, data=data)  # noqa: SLF001
        with pytest.raises(DbtRuntimeError, match=REFUSED):
            client.load_table_from_file(None, SimpleNamespace(dataset_id=f"{OTHER}_CAMPAIGN"))
        client.load_table_from_file(None, SimpleNamespace(dataset_id=WRITES))
        client._connection.api_request(method="GET", path="/projects/p/datasets")  # noqa: SLF001
    with pytest.raises(DbtRuntimeError, match="no laundromat is being built"):
        client._connection.api_request(method="GET", path="/projects/p/datasets")  # noqa: SLF001
    assert len(sent) == len(loaded) == 1


def test_every_statement_of_the_project_is_within_it(analysis: Analysis, stack: LocalStack) -> None:
    project = stack.environment().project
    readers = {"run_health"}
    for name, sql in analysis.statements.items():
        assert (
            statement_problem(
                sql,
                cnpj=OWN,
                project=project,
                writes=WRITES,
                may_read_ops=name in readers,
            )
            == ""
        ), name
