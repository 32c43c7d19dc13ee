"""BigQuery would take every statement of the project."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from loader.project import Project
from tests.googlesql import GoogleSql, analyze_project, type_name
from tests.support import ALPHANUMERIC_CNPJ

if TYPE_CHECKING:
    from pathlib import Path

    from loader.environment import Environment


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
    project: Project, environment: Environment, tmp_path: Path
) -> None:
    analysis = analyze_project(project, environment, ALPHANUMERIC_CNPJ, tmp_path)

    assert analysis.errors == {}
    # Staging and campaigns are inlined into these.
    assert set(analysis.columns) == {
        "customer_facts",
        "campaign_decisions",
        "campaign_targets",
        "target_publication",
    }
    declared = yaml.safe_load(
        (project.root / "models" / "targets" / "_targets__models.yml").read_text(encoding="utf-8")
    )
    [targets] = [model for model in declared["models"] if model["name"] == "campaign_targets"]
    contract = {column["name"]: column["data_type"].upper() for column in targets["columns"]}
    found = analysis.columns["campaign_targets"]
    assert {name: type_name(type_) for name, type_ in found.items()} == contract


def test_an_hour_references_eight_tables_of_ten_mebibytes_each(
    project: Project, environment: Environment, tmp_path: Path
) -> None:
    analysis = analyze_project(project, environment, ALPHANUMERIC_CNPJ, tmp_path)
    # The hourly selector, which tests/e2e/test_dbt_project.py holds to these.
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
    copy = tmp_path / "project"
    for folder in ("models", "macros", "seeds", "tests/dbt"):
        shutil.copytree(project.root / folder, copy / folder)
    for file in ("dbt_project.yml", "selectors.yml"):
        shutil.copy(project.root / file, copy / file)
    model = copy / "models" / "staging" / "stg_sales.sql"
    sql = model.read_text(encoding="utf-8")
    assert "where data <= {{ now() }}" in sql
    model.write_text(sql.replace("data <= {{ now() }}", "data <= {{ today() }}"), encoding="utf-8")

    analysis = analyze_project(Project(copy), environment, ALPHANUMERIC_CNPJ, tmp_path / "target")

    assert "TIMESTAMP, DATE" in analysis.errors["customer_facts"]
