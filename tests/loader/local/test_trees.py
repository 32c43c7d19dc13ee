"""bqemulator translates a statement the same way when its rewriters hand on a tree."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel
from sqlglot.expressions import core

from loader.local.trees import copied, parsed_once

if TYPE_CHECKING:
    import pytest

    from tests.googlesql import Analysis

# Each has what some rewriter looks for; the last ones are refused.
_STATEMENTS = (
    "select session_user() as a, date_add(b, interval 1 day) / c as d from t",
    "select array_agg(a ignore nulls order by b limit 3)[safe_offset(0)] / 2.5 from t",
    "select string_agg(a, '/' order by b limit 2), sha512(a) from t",
    # Alone: bqemulator loses SAFE. when a later rewriter writes the text; the tree keeps it.
    "select safe.ln(b) from t",
    "select format_timestamp('%Y-%m-%d', timestamp(a), 'America/Sao_Paulo') / 1 from t",
    "select parse_timestamp('%Y-%m-%dT%H:%M:%E*S%Ez', a), timestamp_millis(b / c) from t",
    "select to_json(a), normalize(b, NFD), instr(a, 'b', 1, 2), numeric '1.5' / c from t",
    "select s.a, o from unnest([struct(1 as a, 'x' as b), struct(2, 'y')]) as s with offset o",
    "select collate(a, 'und:ci'), last_day(b, week), struct(1, 2), avg(c) over () from t",
    "create or replace table x (a int64, b numeric) as select 1, 2 / c from t",
    "create table x as select date_sub(a, interval 1 month) as a, b.* from t, unnest(c) as b",
    "insert into x (a) values (struct(1 / b, 'c')); select 2.5 / 1",
    "alter table x set options (description = 'a / b')",
    "merge x using (select 1.5 / a as a from t) as y on x.a = y.a when matched then delete",
    "select '1.5 / 2', \"date_add(a)\", `a.5` from t -- 1.5 / struct(1)",
    "select ( from t where a / b",
    "select ml.predict(a) / b",
    "",
)
_TRANSLATE = """
import json, sys
from bqemulator.sql.translator import SQLTranslator
import logging, structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
logging.disable()
if sys.argv[1] == "trees":
    from loader.local.trees import keep_trees
    keep_trees()
translator, schema = SQLTranslator(), {"t": {"a": "STRING", "b": "DECIMAL", "c": "BIGINT"}}
for sql, is_known in json.load(sys.stdin):
    answer = translator.translate(sql, schema=schema if is_known else None)
    print(json.dumps(str(answer.error) if answer.is_err() else answer.value))
"""


def _translations(way: str, statements: list[tuple[str, bool]]) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", _TRANSLATE, way],
        input=json.dumps(statements),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_statements_are_translated_as_bqemulator_does(analysis: Analysis) -> None:
    statements = [(sql, is_known) for sql in _STATEMENTS for is_known in (True, False)]
    statements += [(sql, False) for sql in analysis.statements.values()]
    assert len(statements) > 2 * len(_STATEMENTS) + 50
    assert _translations("trees", statements) == _translations("texts", statements)


def test_a_text_is_parsed_once_and_everybody_gets_a_tree_of_their_own() -> None:
    calls = []

    def parse_one(sql: str, **options: Any) -> Any:
        calls.append(sql)
        return sqlglot.parse_one(sql, **options)

    parse = parsed_once(parse_one)
    sql = "select cast(a as string) as b, 'c' as d -- e\nfrom t"
    for _ in range(3):
        tree = parse(sql, read="bigquery")
        assert tree == sqlglot.parse_one(sql, read="bigquery")
        for literal in tree.find_all(exp.Literal):
            literal.replace(exp.null())
    assert calls == [sql]
    parse(sql, read="duckdb")
    parse(sql, read="bigquery", error_level=ErrorLevel.IGNORE)
    assert len(calls) == 3


def test_who_only_looks_at_a_tree_gets_the_kept_one() -> None:
    def look() -> Any:
        return parse("select 1", read="bigquery")

    def change() -> Any:
        return parse("select 1", read="bigquery")

    parse = parsed_once(sqlglot.parse_one, [look])
    assert look() is look()
    assert change() is not look()


def test_copies_of_trees_share_nothing_and_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sql = (
        "select a.b as c, cast(d as array<struct<e string>>), [1, 2] /* f */ from `g`.`h`.`i` as a"
    )
    plain = sqlglot.parse_one(sql, read="bigquery")
    monkeypatch.setattr(core, "deepcopy", copied(deepcopy))
    tree = sqlglot.parse_one(sql, read="bigquery")
    other = tree.copy()
    assert tree == other == plain
    assert other.sql("bigquery") == plain.sql("bigquery")
    assert not {id(node) for node in tree.walk()} & {id(node) for node in other.walk()}
    for node, its_copy in zip(tree.walk(), other.walk(), strict=True):
        node.meta["seen"] = True
        assert "seen" not in its_copy.meta
