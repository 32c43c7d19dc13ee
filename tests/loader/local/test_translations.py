"""bqemulator translates a statement the same way when it does so from memory."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import sqlglot
from bqemulator.domain.result import Ok
from bqemulator.sql.translator import SQLTranslator
from sqlglot import exp
from sqlglot.errors import ErrorLevel
from sqlglot.expressions import core

from loader.local.translations import copied, parsed_once, remembered
from tests.support import ALPHANUMERIC_CNPJ, NUMERIC_CNPJ

if TYPE_CHECKING:
    import pytest

_SQL = """
create or replace table `{project}`.`{cnpj}_CAMPAIGN`.`vmhub_scratch_{scratch}` as
select '{cnpj}' as cnpj, timestamp '{at} 13:00:00.500000+00:00' as built_at, safe_divide(1, id)
from `{project}`.`{cnpj}_RAW`.`clientes`
where dataCadastro >= '{at} 00:00:00.000000+00:00' and date(dataCadastro) > '{at}' and id > 1.5
"""
_ONE = {"project": "some-project", "cnpj": NUMERIC_CNPJ, "at": "2026-11-23", "scratch": "a1" * 16}
_OTHER = {
    "project": "vmhub-test",
    "cnpj": ALPHANUMERIC_CNPJ,
    "at": "1970-01-01",
    "scratch": "09" * 16,
}


class Counted:
    """bqemulator's translator, which is asked as seldom as possible."""

    def __init__(self) -> None:
        self.calls = 0
        self._translator = SQLTranslator()
        self.remembered = remembered(type(self).translate)

    def translate(self, sql: str, *, schema: Any = None, caller: Any = None) -> Any:
        self.calls += 1
        return self._translator.translate(sql, schema=schema, caller=caller)

    def compare(self, sql: str, schema: dict[str, Any] | None = None) -> None:
        """Assert that memory says what bqemulator itself says."""
        expected = SQLTranslator().translate(sql, schema=schema)
        assert isinstance(expected, Ok)
        assert self.remembered(self, sql, schema=schema) == expected


def test_a_statement_is_translated_once_for_all_laundromats_and_hours() -> None:
    translator = Counted()
    for values in (_ONE, _OTHER, {**_ONE, "at": "2026-11-24"}):
        translator.compare(_SQL.format(**values))
    assert translator.calls == 1


def test_whatever_else_differs_is_translated_anew() -> None:
    translator = Counted()
    sql = _SQL.format(**_ONE)
    translator.compare(sql)
    translator.compare(sql.replace("1.5", "2.5"))
    # One instant twice is another statement than two instants.
    translator.compare(sql.replace("13:00:00.5", "00:00:00.0"))
    translator.compare(sql, {"clientes": {"id": "BIGINT"}})
    assert translator.calls == 4


def test_a_statement_that_has_a_placeholder_itself_is_not_kept() -> None:
    translator = Counted()
    sql = _SQL.format(**{**_ONE, "at": "1971-02-03"})
    translator.compare(sql)
    translator.compare(sql)
    assert translator.calls == 2


def test_a_name_that_is_spelt_otherwise_in_the_translation_is_right() -> None:
    translator = Counted()
    sql = "select `{project}.{cnpj}_CAMPAIGN.f`() from `{project}`.`{cnpj}_RAW`.`clientes`"
    for values in (_ONE, _OTHER):
        translator.compare(sql.format(**values))


def test_a_refusal_quotes_the_statement_as_it_came() -> None:
    translator = Counted()
    sql = f"select ( from `some-project`.`{NUMERIC_CNPJ}_RAW`.`clientes`"
    answer = translator.remembered(translator, sql)
    assert answer.is_err()
    assert NUMERIC_CNPJ in str(answer.error)


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
