"""Every statement dbt would run, analyzed by Google's own GoogleSQL analyzer.

The emulator runs SQL that BigQuery refuses, such as a TIMESTAMP compared with a DATE. The analyzer
knows the types: sources as declared in models/sources/, seeds as configured, and each table with
the columns that its own statement was found to have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zetasql.api import Analyzer, CatalogBuilder, TableBuilder
from zetasql.types import (
    AnalyzerOptions,
    LanguageOptions,
    ProductMode,
    TypeKind,
    ZetaSQLBuiltinFunctionOptions,
)

from loader.build import run_dbt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from loader.cnpj import Cnpj
    from loader.environment import Environment
    from loader.project import Project

_TABLE_PATH = re.compile(r"`([^`]+)`\.`([^`]+)`\.`([^`]+)`")
_COMMENT = re.compile(r"--[^\n]*")
_TYPES = {
    "BOOL": TypeKind.TYPE_BOOL,
    "FLOAT64": TypeKind.TYPE_DOUBLE,
    "INT64": TypeKind.TYPE_INT64,
    "STRING": TypeKind.TYPE_STRING,
    "TIMESTAMP": TypeKind.TYPE_TIMESTAMP,
}

# The analyzer's names for types, where BigQuery has another.
_BIGQUERY_NAMES = {"DOUBLE": "FLOAT64"}


class GoogleSql:
    """A catalog of typed tables, and the analysis of statements over it."""

    def __init__(self) -> None:
        self._language = LanguageOptions.maximum_features()
        self._language.product_mode = ProductMode.PRODUCT_EXTERNAL
        functions = ZetaSQLBuiltinFunctionOptions(language_options=self._language)
        self._catalog = CatalogBuilder("bigquery").with_builtin_functions(functions)

    def declare(self, table: str, columns: Mapping[str, Any]) -> None:
        """Add a table; a column's type is a name such as INT64, or one that `analyze` returned."""
        builder = TableBuilder(table)
        for name, type_ in columns.items():
            builder.add_column(name, _TYPES[type_] if isinstance(type_, str) else type_)
        self._catalog.add_table(builder.build())

    def analyze(self, sql: str) -> dict[str, Any]:
        """Return the statement's columns with their types, or raise with Google's message."""
        options = AnalyzerOptions(language_options=self._language)
        statement = Analyzer(options, self._catalog.build()).analyze_statement(
            # BigQuery takes a path with each part in backticks; the catalog knows whole names.
            _TABLE_PATH.sub(r"`\1.\2.\3`", sql)
        )
        return {column.name: column.column.type for column in statement.output_column_list}


def type_name(type_: Any) -> str:
    """Return BigQuery's name of a type that `GoogleSql.analyze` returned."""
    return _BIGQUERY_NAMES.get(str(type_), str(type_))


@dataclass(frozen=True)
class Analysis:
    """What was found, by the name of the dbt node."""

    columns: dict[str, dict[str, Any]]
    """Of each model that is a table."""
    errors: dict[str, str]
    tables: dict[str, set[str]]
    """The tables that each statement references; BigQuery bills 10 MiB at least for each."""


def analyze_project(
    project: Project, environment: Environment, cnpj: Cnpj, target_path: Path
) -> Analysis:
    """Compile the project for a laundromat and analyze all of it."""
    variables = f'{{"cnpj": "{cnpj}", "as_of": "2026-11-23T13:00:00Z"}}'
    results = run_dbt(
        project, environment, ["compile", "--vars", variables], target_path=target_path
    )
    google_sql = GoogleSql()
    for source in project.source_tables():
        google_sql.declare(
            f"{environment.project}.{source.dataset(cnpj)}.{source.name}",
            {column.name: column.data_type for column in source.columns},
        )
    analysis = Analysis({}, {}, {})
    # dbt compiles parents before children.
    for node in (result.node for result in results):
        name = f"{node.database}.{node.schema}.{node.alias}"
        if node.resource_type == "seed":
            google_sql.declare(name, dict.fromkeys(node.config.column_types, "STRING"))
            continue
        if node.resource_type == "operation":
            # The hook that checks the vars runs no SQL.
            continue
        statement = _COMMENT.sub("", node.compiled_code)
        analysis.tables[node.name] = {".".join(path) for path in _TABLE_PATH.findall(statement)}
        try:
            found = google_sql.analyze(node.compiled_code)
        except Exception as error:  # noqa: BLE001 - whatever the analyzer says is the finding
            analysis.errors[node.name] = str(error)
            continue
        if node.resource_type == "model":
            analysis.columns[node.name] = found
            if node.config.materialized != "ephemeral":
                google_sql.declare(name, found)
    return analysis
