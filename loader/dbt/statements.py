"""Checks with a SQL parser that a statement touches only what one laundromat may touch.

Settings are checked before they become SQL, and models name tables by ref() and source(). This is
the last check: of every statement, as it is sent.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from loader.bigquery.declaration import OPS_DATASET
from loader.bigquery.secret_keys import SECRET_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.base.cnpj import Cnpj

__all__ = ["statement_problem"]

# The parser logs a warning with the statement for unknown syntax; here unknown syntax is refused.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

# Parsing costs some 10 ms, and the statements of different laundromats and hours differ only in
# CNPJ and instants. So the statement is parsed without these, and the result is kept.
_PLACEHOLDER = "00000000000000"
_INSTANT = re.compile(r"'\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d\.\d{6}\+00:00)?'")
# dbt writes a job's labels in front of the statement, including the CNPJ in lower case.
_LABELS = re.compile(r"\A\s*/\*[^*]*\*/")
_SOME_INSTANT = "'2000-01-01'"
_KEPT = 512

_DATASET = re.compile(
    r"(?<![0-9A-Z])[0-9A-Z]{12}[0-9]{2}_(?:RAW|CAMPAIGN|PREVIEW)(?![0-9A-Z_])", re.IGNORECASE
)

_QUERIES = (exp.Select, exp.SetOperation, exp.Subquery)
_CHANGES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.TruncateTable)
_DEFINITIONS = (exp.Create, exp.Drop, exp.Alter)

# Besides its own errors, sqlglot's compiled parser can raise these.
_UNREADABLE_ERRORS = (SqlglotError, IndexError, RecursionError, TypeError)
_UNREADABLE = "it is not SQL that the check can read"

# Functions of BigQuery itself that have a namespace and read no table.
_NAMESPACES = frozenset({"hll_count", "keys", "net", "safe"})


def statement_problem(
    sql: str, *, cnpj: Cnpj, project: str, writes: str, may_read_ops: bool = False
) -> str:
    """Return what is forbidden in a laundromat's statement; empty if nothing is.

    Args:
        sql: One statement or several.
        cnpj: The laundromat, whose datasets RAW, CAMPAIGN and PREVIEW may be read.
        project: The Google Cloud project.
        writes: The only dataset that may be written.
        may_read_ops: Whether it may read the laundromat's own rows of VMHUB_OPS.

    """
    if f"{_PLACEHOLDER}_" in sql:
        return f"it names {_PLACEHOLDER}, the placeholder of a CNPJ"
    neutral = _INSTANT.sub(_SOME_INSTANT, _LABELS.sub("", sql).replace(cnpj, _PLACEHOLDER))
    foreign = [
        name for name in _DATASET.findall(neutral) if not name.startswith(f"{_PLACEHOLDER}_")
    ]
    if foreign:
        return f"it names {foreign[0]}"
    found = _problem(neutral, project, writes.replace(cnpj, _PLACEHOLDER), may_read_ops)
    if found == _UNREADABLE:
        return f"{found}{_syntax_error(sql)}"
    return found.replace(_PLACEHOLDER, cnpj)


@lru_cache(maxsize=_KEPT)
def _problem(sql: str, project: str, writes: str, may_read_ops: bool) -> str:  # noqa: FBT001
    try:
        statements = sqlglot.parse(sql, dialect="bigquery")
    except _UNREADABLE_ERRORS:
        return _UNREADABLE
    problems = (
        problem
        for statement in statements
        if statement is not None
        for problem in (
            *_kind_problems(statement),
            *_table_problems(statement, project, writes, may_read_ops=may_read_ops),
            *_call_problems(statement, project),
        )
    )
    return next(problems, "")


def _syntax_error(sql: str) -> str:
    """Return a syntax error and its place, without the parser's own text, which quotes the SQL.

    The statement is parsed again as it is sent: without instants the columns would be wrong.
    """
    try:
        sqlglot.parse(sql, dialect="bigquery")
    except ParseError as error:
        first = error.errors[0]
        # The parser gives the last character of the wrong word; go back to its first.
        column = first["col"] - len(first["highlight"]) + 1
        return f": {first['description']} at [{first['line']}:{column}]"
    except _UNREADABLE_ERRORS:
        # The parser stopped before it read a word, or its error has no place.
        pass
    return ""


def _kind_problems(statement: exp.Expr) -> Iterator[str]:
    """Yield statements that are neither a query nor a change of tables, such as exports."""
    if isinstance(statement, _DEFINITIONS):
        kind = str(statement.args.get("kind") or "").upper()
        is_new_dataset = kind == "SCHEMA" and isinstance(statement, exp.Create)
        if kind not in ("TABLE", "VIEW") and not is_new_dataset:
            yield f"it is {statement.key.upper()} {kind}"
        if statement.find(exp.ExternalProperty):
            yield "it defines an external table"
    elif not isinstance(statement, (*_QUERIES, *_CHANGES)):
        yield f"it is {_first_word(statement)}, and no query"
    for command in statement.find_all(exp.Command):
        yield f"it has {_first_word(command)}"


def _table_problems(
    statement: exp.Expr, project: str, writes: str, *, may_read_ops: bool
) -> Iterator[str]:
    """Yield the tables that are not the laundromat's."""
    written = [] if isinstance(statement, _QUERIES) else _written_tables(statement)
    for table in written:
        if table.db != writes or table.catalog not in ("", project):
            yield f"it writes {_name_of(table)}, which is not in {writes}"
    inner_names = {cte.alias for cte in statement.find_all(exp.CTE)}
    for table in statement.find_all(exp.Table):
        if not any(table is other for other in written):
            yield from _read_problems(table, project, inner_names, may_read_ops=may_read_ops)


def _read_problems(
    table: exp.Table, project: str, inner_names: set[str], *, may_read_ops: bool
) -> Iterator[str]:
    readable = {f"{_PLACEHOLDER}_{suffix}" for suffix in ("RAW", "CAMPAIGN", "PREVIEW")}
    if not isinstance(table.this, exp.Identifier):
        yield f"it reads the table function {_name_of(table)}"
    elif not table.db:
        if table.name not in inner_names:
            yield f"it names {table.name} without its dataset"
    elif table.catalog not in ("", project):
        yield f"it reads {_name_of(table)} of another project"
    elif table.db == OPS_DATASET and may_read_ops:
        if not _is_of_own_rows(table):
            yield f"it reads {_name_of(table)} without asking for its own cnpj"
    elif table.db not in readable:
        yield f"it reads {_name_of(table)}"


def _call_problems(statement: exp.Expr, project: str) -> Iterator[str]:
    """Yield calls of user-defined functions, which can read any table; our own are allowed."""
    own = {f"{project}.{_PLACEHOLDER}_CAMPAIGN.{name}" for name in SECRET_KEYS}
    for call in statement.find_all(exp.Anonymous):
        namespace, _, name = call.name.rpartition(".")
        if isinstance(call.parent, exp.Dot):
            namespace = call.parent.this.sql(dialect="bigquery")
        path = f"{namespace}.{name}".replace("`", "")
        if namespace and namespace.lower() not in _NAMESPACES and path not in own:
            yield f"it calls the function {namespace}.{name}"


def _written_tables(statement: exp.Expr) -> list[exp.Table]:
    target = statement.args.get("this")
    parts = [target] if target is not None else statement.expressions
    return [
        table
        for part in parts
        if isinstance(part, exp.Expr) and (table := part.find(exp.Table)) is not None
    ]


def _is_of_own_rows(table: exp.Table) -> bool:
    """Return whether the query that reads a table keeps only rows with the laundromat's CNPJ."""
    select = table.find_ancestor(exp.Select)
    where = select.args.get("where") if select else None
    if select is None or where is None or select.args.get("joins"):
        return False
    conditions = where.this.flatten() if isinstance(where.this, exp.And) else [where.this]
    return any(
        isinstance(condition, exp.EQ)
        and isinstance(condition.this, exp.Column)
        and condition.this.name == "cnpj"
        and condition.expression == exp.Literal.string(_PLACEHOLDER)
        for condition in conditions
    )


def _name_of(table: exp.Table) -> str:
    named = ".".join(part for part in (table.catalog, table.db, table.name) if part)
    return named or table.sql(dialect="bigquery").split("(", maxsplit=1)[0]


def _first_word(statement: exp.Expr) -> str:
    is_command = isinstance(statement, exp.Command)
    return str(statement.this).upper() if is_command else statement.key.upper()
