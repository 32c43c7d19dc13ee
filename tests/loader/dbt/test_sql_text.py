"""A text reaches SQL as a literal and as nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jinja2
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from loader.dbt.project import find_project
from tests.googlesql import GoogleSql, type_name

if TYPE_CHECKING:
    from loader.dbt.project import Project


class RefusedError(Exception):
    """What dbt's own exceptions do."""


def refuse(message: str) -> None:
    raise RefusedError(message)


def rendered(value: Any) -> str:
    source = (find_project().root / "macros" / "settings" / "sql_text.sql").read_text("utf-8")
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    environment.globals["exceptions"] = {"raise_compiler_error": refuse}
    environment.globals["type_in_words"] = str
    module: Any = environment.from_string(source).module
    return str(module.sql_text(value)).strip()


@given(st.text())
def test_any_text_is_one_literal_with_that_text(value: str) -> None:
    [select] = sqlglot.parse(f"select {rendered(value)} as x", dialect="bigquery")
    assert select is not None
    [literal] = select.expressions
    assert isinstance(literal.this, exp.Literal)
    if not re.search(r"[\0\\]", value):
        assert literal.this.this == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a'b",
        'a"b',
        "a\\",
        "\\'",
        "a\nb\r",
        "'; drop table x; --",
        "/* */ # `x` ${y}",
        "ã😀\u2028",
        "\0",
    ],
)
def test_googlesql_reads_it_as_a_string(value: str) -> None:
    columns = GoogleSql().analyze(f"select {rendered(value)} as x, {rendered([value, 'b'])} as y")
    assert {name: type_name(type_) for name, type_ in columns.items()} == {
        "x": "STRING",
        "y": "ARRAY<STRING>",
    }


def test_an_empty_list_has_its_type() -> None:
    assert type_name(GoogleSql().analyze(f"select {rendered([])} as x")["x"]) == "ARRAY<STRING>"


@pytest.mark.parametrize("value", [1, None, {"a": 1}, [1], [["a"], 1]])
def test_nothing_else_is_taken(value: Any) -> None:
    with pytest.raises(RefusedError):
        rendered(value)


def test_no_sql_of_the_project_puts_quotes_around_jinja(project: Project) -> None:
    files = [
        path
        for folder in ("models", "macros", "tests/dbt")
        for path in (project.root / folder).rglob("*.sql")
    ]
    assert len(files) > 30
    for path in files:
        if path.name == "sql_text.sql":
            continue
        sql = re.sub(r"{#.*?#}|--[^\n]*", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        marked = re.sub(r"{{.*?}}|{%.*?%}", "\x00", sql, flags=re.DOTALL)
        assert not [text for text in re.findall(r"'[^'\n]*'", marked) if "\x00" in text], path
