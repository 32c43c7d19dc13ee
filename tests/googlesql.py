"""Analyzes every statement that dbt would run with Google's own GoogleSQL analyzer.

The emulator runs SQL that BigQuery refuses, such as a comparison of TIMESTAMP and DATE. The
analyzer knows the types: sources as declared in models/sources/, seeds as configured, and each
table with the columns that the analysis of its statement gave.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from zetasql.api import CatalogBuilder, PreparedQuery, TableBuilder
from zetasql.core import wasm_client
from zetasql.core.local_service import ZetaSqlLocalService
from zetasql.types import (
    AnalyzeRequest,
    AnalyzerOptions,
    ErrorMessageMode,
    LanguageOptions,
    ProductMode,
    TypeKind,
    ZetaSQLBuiltinFunctionOptions,
    parse_proto,
)
from zetasql.wasi._pb2.zetasql.local_service.local_service_pb2 import AnalyzeResponse

from loader.dbt.runner import Dbt
from loader.dbt.spec import BuildSpec
from tests.support import AS_OF

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from loader.base.cnpj import Cnpj
    from loader.base.environment import Environment
    from loader.dbt.runner import ParsedProject


def _caching_config() -> Any:
    """Cache the analyzer's machine code for this user: compiling takes most of a minute."""
    config = _plain_config()
    # Without a home folder there is no cache, but the analyzer still works.
    with contextlib.suppress(Exception):
        config.cache = True
    return config


_plain_config = wasm_client.Config
wasm_client.Config = _caching_config

_TABLE_PATH = re.compile(r"`([^`]+)`\.`([^`]+)`\.`([^`]+)`")
# The catalog has no functions of a laundromat; each returns a text.
_KEY = re.compile(r"`[^`]+_CAMPAIGN`?\.`?(?:person|voucher)_key`?\(\)")
_COMMENT = re.compile(r"--[^\n]*")
_TYPES = {
    "BOOL": TypeKind.TYPE_BOOL,
    "DATE": TypeKind.TYPE_DATE,
    "FLOAT64": TypeKind.TYPE_DOUBLE,
    "INT64": TypeKind.TYPE_INT64,
    "JSON": TypeKind.TYPE_JSON,
    "STRING": TypeKind.TYPE_STRING,
    "TIMESTAMP": TypeKind.TYPE_TIMESTAMP,
}

# Types that have another name in the analyzer than in BigQuery.
_BIGQUERY_NAMES = {"DOUBLE": "FLOAT64"}


class GoogleSql:
    """A catalog of typed tables, and the analysis of statements on it."""

    def __init__(self) -> None:
        self._language = LanguageOptions.maximum_features()
        self._language.product_mode = ProductMode.PRODUCT_EXTERNAL
        functions = ZetaSQLBuiltinFunctionOptions(language_options=self._language)
        self._catalog = CatalogBuilder("bigquery").with_builtin_functions(functions)

    def declare(self, table: str, columns: Mapping[str, Any]) -> None:
        """Add a table; a column's type is a name such as INT64, or a type from `analyze`."""
        builder = TableBuilder(table)
        for name, type_ in columns.items():
            builder.add_column(name, _TYPES[type_] if isinstance(type_, str) else type_)
        self._catalog.add_table(builder.build())

    def evaluate(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, as `evaluate` does."""
        options = AnalyzerOptions(language_options=self._language)
        prepared = PreparedQuery.builder().set_sql(sql).set_analyzer_options(options)
        with prepared.set_catalog(self._catalog.build()).prepare() as query:
            rows = query.execute().content.table_data.row
        return [tuple(_python_value(cell) for cell in row.cell) for row in rows]

    def analyze(self, sql: str) -> dict[str, Any]:
        """Return the statement's columns with their types, or raise with Google's message.

        A statement that changes rows has no columns.
        """
        options = AnalyzerOptions(
            language_options=self._language,
            # With the position, as BigQuery says it.
            error_message_mode=ErrorMessageMode.ERROR_MESSAGE_ONE_LINE,
        )
        request = AnalyzeRequest(
            # BigQuery allows backticks around each part; the catalog only knows whole names.
            sql_statement=_KEY.sub("'a key'", _TABLE_PATH.sub(r"`\1.\2.\3`", sql)),
            options=options,
            simple_catalog=self._catalog.build(),
        )
        # Not Analyzer.analyze_statement: it makes an object of each part of the statement, which
        # takes twice as long as the analysis.
        client = ZetaSqlLocalService.get_instance().wasm_client
        response = client.call_grpc_func(
            "ZetaSqlLocalService_Analyze", request.to_proto(), AnalyzeResponse
        )
        resolved = response.resolved_statement
        statement = getattr(resolved, resolved.WhichOneof("node"))
        columns = map(parse_proto, getattr(statement, "output_column_list", ()))
        return {column.name: column.column.type for column in columns}


def evaluate(sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query that reads no table, as Google's reference computes them.

    A row that BigQuery would refuse, such as a date before the year 1, raises. NULL is None;
    values are strings, numbers and booleans, so cast what is none of them.
    """
    return _evaluator().evaluate(_KEY.sub("'a key'", sql))


@cache
def _evaluator() -> GoogleSql:
    # It takes a third of a second to make, and there are thousands of queries.
    return GoogleSql()


def _python_value(cell: Any) -> Any:
    fields = ("string_value", "int64_value", "bool_value", "double_value")
    return next((value for name in fields if (value := getattr(cell, name)) is not None), None)


def string_array(texts: Iterable[str | None]) -> str:
    """Return texts as GoogleSQL writes an array of them."""
    literals = ("null" if text is None else json.dumps(text, ensure_ascii=False) for text in texts)
    return f"array<string>[{', '.join(literals)}]"


def type_name(type_: Any) -> str:
    """Return BigQuery's name of a type from `GoogleSql.analyze`."""
    return _BIGQUERY_NAMES.get(str(type_), str(type_))


def struct_fields(type_: Any) -> dict[str, Any]:
    """Return the typed fields of a struct or an array of structs; else nothing."""
    if type_.is_array():
        type_ = type_.array_type.element_type
    if not type_.is_struct():
        return {}
    return {field.field_name: field.field_type for field in type_.struct_type.field}


# dbt's names of types that BigQuery names otherwise.
_SEED_TYPES = {"boolean": "BOOL"}


@dataclass(frozen=True)
class Analysis:
    """The results, by the name of the dbt node."""

    columns: dict[str, dict[str, Any]]
    """The columns of each model; inlined models are also analyzed alone."""
    errors: dict[str, str]
    tables: dict[str, set[str]]
    """The tables that each statement references; BigQuery bills at least 10 MiB for each."""
    statements: dict[str, str]
    """The compiled SQL that dbt would run; seeds have none."""
    google_sql: GoogleSql
    """The analyzer; it knows all tables by now."""
    manifest: dict[str, Any]
    """dbt's manifest.json."""


def analyze_project(
    parsed: ParsedProject,
    environment: Environment,
    cnpj: Cnpj,
    target_path: Path,
    *,
    only: str = "",
    built: Mapping[str, Mapping[str, Any]] | None = None,
) -> Analysis:
    """Compile the project for a laundromat, and analyze all or the selected nodes.

    An incremental model reads its own table if it exists: `built` has the columns of existing
    tables, by the name of the model.
    """
    project = parsed.project
    dbt = Dbt(parsed, environment, target_path)
    spec = BuildSpec({"cnpj": cnpj}, AS_OF)
    results = dbt.run(spec, ["compile", *(["--select", only] if only else [])])
    google_sql = GoogleSql()
    for source in project.source_tables():
        google_sql.declare(
            f"{environment.project}.{source.dataset(cnpj)}.{source.name}",
            {column.name: column.data_type for column in source.columns},
        )
    for name, columns in (built or {}).items():
        google_sql.declare(f"{environment.project}.{spec.dataset}.{name}", columns)
    manifest = parsed.manifest(environment).writable_manifest().to_dict(omit_none=False)
    analysis = Analysis({}, {}, {}, {}, google_sql, manifest)
    # dbt compiles parents before children.
    for node in (result.node for result in results):
        name = f"{node.database}.{node.schema}.{node.alias}"
        if node.resource_type == "seed":
            types = node.config.column_types
            google_sql.declare(
                name, {column: _SEED_TYPES.get(of, of.upper()) for column, of in types.items()}
            )
            continue
        if node.resource_type == "operation":
            # The hook that checks the vars does not run SQL.
            continue
        analysis.statements[node.name] = node.compiled_code
        statement = _COMMENT.sub("", node.compiled_code)
        analysis.tables[node.name] = {".".join(path) for path in _TABLE_PATH.findall(statement)}
        found = _analyze(google_sql, analysis, node.name, node.compiled_code)
        if found and node.resource_type == "model" and node.name not in (built or {}):
            google_sql.declare(name, found)
    # Inlined models are not in dbt's results; the tables that they read are declared by now.
    if not only:
        for name, sql in _inlined_models(dbt, spec, manifest).items():
            _analyze(google_sql, analysis, name, sql)
    return analysis


def _inlined_models(dbt: Dbt, spec: BuildSpec, manifest: dict[str, Any]) -> dict[str, str]:
    """Return for each inlined model a query of its rows, all compiled by one command."""
    names = [
        node["name"]
        for node in manifest["nodes"].values()
        if node["config"].get("materialized") == "ephemeral"
    ]
    all_of_them = ", ".join(f"{{{{ ref('{name}') }}}}" for name in names)
    command = ["compile", "--no-introspect", "--inline", f"select * from {all_of_them}"]
    [result] = dbt.run(spec, command)
    # Each of them stands behind those that it reads.
    ctes = [cte.sql for cte in result.node.extra_ctes]
    found = {cte.id.split(".")[-1]: number for number, cte in enumerate(result.node.extra_ctes, 1)}
    assert set(found) == set(names)
    return {
        name: f"with {', '.join(ctes[:number])} select * from __dbt__cte__{name}"
        for name, number in found.items()
    }


def _analyze(google_sql: GoogleSql, analysis: Analysis, node: str, sql: str) -> dict[str, Any]:
    """Analyze a node's statement, and return its columns; on an error, note it, return none."""
    try:
        found = google_sql.analyze(sql)
    except Exception as error:  # noqa: BLE001 - whatever the analyzer says is the finding
        analysis.errors[node] = str(error)
        return {}
    if f"model.vmhub_campaigns.{node}" in analysis.manifest["nodes"]:
        analysis.columns[node] = found
    return found
