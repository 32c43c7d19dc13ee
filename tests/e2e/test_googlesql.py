"""BigQuery would accept every statement of the project."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from loader.bigquery.history import merge_statement
from loader.bigquery.wishes import merge_opt_outs_statement
from loader.dbt.runner import ParsedProject
from tests.descriptions import missing_descriptions
from tests.googlesql import GoogleSql, analyze_project, type_name
from tests.partitions import partition_problems
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, copy_project

if TYPE_CHECKING:
    from pathlib import Path

    from loader.base.environment import Environment
    from loader.dbt.project import Project
    from tests.googlesql import Analysis


@pytest.fixture
def google_sql() -> GoogleSql:
    analyzer = GoogleSql()
    analyzer.declare("p.d.vendas", {"data": "TIMESTAMP", "cpfCliente": "STRING"})
    return analyzer


def test_the_analyzer_refuses_what_bigquery_refuses(google_sql: GoogleSql) -> None:
    # The comparison of the original specification's loyalty query.
    with pytest.raises(Exception, match="TIMESTAMP, DATE"):
        google_sql.analyze(
            "select cpfCliente from `p`.`d`.`vendas` "
            "where data >= date_sub(current_date(), interval 3 month)"
        )


def test_the_analyzer_takes_what_bigquery_takes(google_sql: GoogleSql) -> None:
    columns = google_sql.analyze(
        "select count(*) as sales, max(data) as last_at from `p`.`d`.`vendas` "
        "where data >= timestamp(date '2026-08-23', 'America/Sao_Paulo')"
    )
    assert {name: type_name(type_) for name, type_ in columns.items()} == {
        "sales": "INT64",
        "last_at": "TIMESTAMP",
    }


def test_every_compiled_statement_passes_googlesql_analysis(
    project: Project, analysis: Analysis
) -> None:
    assert analysis.errors == {}
    assert set(analysis.columns) == {path.stem for path in (project.root / "models").rglob("*.sql")}
    declared = yaml.safe_load(
        (project.root / "models" / "targets" / "_targets__models.yml").read_text(encoding="utf-8")
    )
    [targets] = [model for model in declared["models"] if model["name"] == "campaign_targets"]
    contract = {column["name"]: column["data_type"].upper() for column in targets["columns"]}
    found = analysis.columns["campaign_targets"]
    assert {name: type_name(type_) for name, type_ in found.items()} == contract


def test_bigquery_takes_the_merge_of_tracking(project: Project, google_sql: GoogleSql) -> None:
    [declared] = [table for table in project.owned_tables() if table.name == "message_history"]
    table = f"{ALPHANUMERIC_CNPJ}_CAMPAIGN.message_history"
    columns = {column.name: column.data_type for column in declared.columns}
    google_sql.declare(table, columns)
    sql = merge_statement(ALPHANUMERIC_CNPJ, since=AS_OF, news="message_history").replace(
        "`.`", "."
    )
    assert table in sql
    google_sql.analyze(sql)
    # Every declared column is written.
    inserted = re.findall(r"insert \((.*?)\)", sql, re.DOTALL)
    assert [set(re.findall(r"\w+", text)) for text in inserted] == [set(columns)]
    with pytest.raises(Exception, match="not found"):
        google_sql.analyze(sql.replace("news.voucher_code", "news.vouchers"))


def test_bigquery_takes_the_merge_of_opt_outs(project: Project, google_sql: GoogleSql) -> None:
    [declared] = [table for table in project.owned_tables() if table.name == "opt_outs"]
    table = f"{ALPHANUMERIC_CNPJ}_CAMPAIGN.opt_outs"
    columns = {column.name: column.data_type for column in declared.columns}
    google_sql.declare(table, columns)
    sql = merge_opt_outs_statement(ALPHANUMERIC_CNPJ, news="opt_outs").replace("`.`", ".")
    assert table in sql
    google_sql.analyze(sql)
    inserted = re.findall(r"insert \((.*?)\)", sql, re.DOTALL)
    assert [set(re.findall(r"\w+", text)) for text in inserted] == [set(columns)]


def test_an_hour_references_eight_tables_of_ten_mebibytes_each(analysis: Analysis) -> None:
    # The nodes of the hourly selector; tests/e2e/test_dbt_project.py checks that list.
    hourly = {
        "customer_facts": 4,
        "campaign_decisions": 2,
        "assert_nobody_is_messaged_twice": 1,
        "campaign_targets": 1,
        "target_publication": 0,
    }
    assert {name: len(analysis.tables[name]) for name in hourly} == hourly
    assert sum(hourly.values()) * 10 <= 80


def test_a_timestamp_compared_with_a_date_in_a_model_is_found(
    project: Project, environment: Environment, tmp_path: Path
) -> None:
    copy = copy_project(project, tmp_path / "project")
    model = copy.root / "models" / "staging" / "stg_sales.sql"
    sql = model.read_text(encoding="utf-8")
    assert "where data <= {{ now() }}" in sql
    model.write_text(sql.replace("data <= {{ now() }}", "data <= {{ today() }}"), encoding="utf-8")

    analysis = analyze_project(
        ParsedProject(copy, tmp_path / "parse"),
        environment,
        ALPHANUMERIC_CNPJ,
        tmp_path / "target",
        only="customer_facts",
    )

    assert "TIMESTAMP, DATE" in analysis.errors["customer_facts"]


def test_every_read_of_a_partitioned_table_compares_its_bare_column_with_a_constant(
    project: Project, analysis: Analysis
) -> None:
    compared = set()
    for name, sql in analysis.statements.items():
        reads = partition_problems(sql, project.source_tables())
        assert reads.problems == [], name
        # Tests of a source read the whole table, but not hourly.
        assert not reads.unfiltered or name.startswith("source_"), name
        compared |= {(name, table) for table in reads.compared}
    assert compared >= {
        ("customer_facts", "vendas"),
        ("customer_facts", "message_history"),
        ("assert_targets_agree_with_history", "message_history"),
    }


@pytest.mark.parametrize(
    ("bare", "wrapped"),
    [
        (
            "data <= timestamp",
            "date(data) <= date '2026-11-23' and cast(data as timestamp) < timestamp",
        ),
        ("data <= timestamp", "timestamp_add(data, interval 0 day) <= timestamp"),
        ("data <= timestamp", "status = 'COMPLETED' or data <= timestamp"),
        ("data <= timestamp", "data <= primeiraCompra and timestamp '2026-11-23' <= timestamp"),
        ("data <= timestamp", "timestamp '2026-11-23' <= timestamp"),
        ("sent_at <= timestamp", "coalesce(sent_at, updated_at) <= timestamp"),
        ("sent_at <= timestamp", "updated_at <= timestamp"),
    ],
)
def test_a_partition_column_that_is_not_compared_bare_is_found(
    project: Project, analysis: Analysis, bare: str, wrapped: str
) -> None:
    sql = analysis.statements["customer_facts"]
    changed = sql.replace(bare, wrapped)
    assert changed != sql
    reads = partition_problems(changed, project.source_tables())
    assert reads.problems or reads.unfiltered


def test_everything_is_described(project: Project, analysis: Analysis) -> None:
    assert missing_descriptions(project, analysis) == []
