"""bqemulator translates a statement the same way when it does so from memory."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from bqemulator.domain.errors import DomainError
from bqemulator.domain.result import Ok
from bqemulator.sql.table_rewriter import rewrite_table_refs
from bqemulator.sql.translator import SQLTranslator

from loader.local.translations import KeptTranslations, remembered, rewritten_once
from tests.support import ALPHANUMERIC_CNPJ, NUMERIC_CNPJ

if TYPE_CHECKING:
    from pathlib import Path

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

    def __init__(self, file: Path | None = None) -> None:
        self.calls = 0
        self.rewrites = 0
        self._translator = SQLTranslator()
        translations = KeptTranslations(file)
        self.remembered = remembered(type(self).translate, translations)
        self.rewritten = rewritten_once(self._rewrite, translations)

    def translate(self, sql: str, *, schema: Any = None, caller: Any = None) -> Any:
        self.calls += 1
        return self._translator.translate(sql, schema=schema, caller=caller)

    def _rewrite(self, sql: str, project_id: str) -> str:
        self.rewrites += 1
        return rewrite_table_refs(sql, project_id)

    def compare(self, sql: str, schema: dict[str, Any] | None = None) -> None:
        """Assert that memory says what bqemulator itself says."""
        expected = SQLTranslator().translate(sql, schema=schema)
        assert isinstance(expected, Ok)
        translation = self.remembered(self, sql, schema=schema)
        assert translation == expected
        for project in (_ONE["project"], _OTHER["project"]):
            if project not in sql:
                continue
            tables = rewrite_table_refs(expected.value, project)
            assert self.rewritten(translation.value, project) == tables


def test_a_statement_is_translated_once_for_all_laundromats_and_hours() -> None:
    translator = Counted()
    for values in (_ONE, _OTHER, {**_ONE, "at": "2026-11-24"}):
        translator.compare(_SQL.format(**values))
    assert translator.calls == 1
    assert translator.rewrites == 1


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


def test_a_refused_name_is_quoted_as_it_came() -> None:
    translator = Counted()
    sql = f"select 1 as a from `some-project`.`!!{NUMERIC_CNPJ}_RAW`.`clientes`"
    translation = translator.remembered(translator, sql)
    with pytest.raises(DomainError, match=NUMERIC_CNPJ):
        translator.rewritten(translation.value, "some-project")


def test_other_servers_use_what_one_has_translated(tmp_path: Path) -> None:
    file = tmp_path / "translations.db"
    first, second = Counted(file), Counted(file)
    first.compare(_SQL.format(**_ONE))
    second.compare(_SQL.format(**_OTHER))
    assert (first.calls, second.calls, second.rewrites) == (1, 0, 0)


def test_another_version_begins_with_an_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "translations.db"
    Counted(file).compare(_SQL.format(**_ONE))
    monkeypatch.setattr("loader.local.translations.metadata.version", lambda name: f"{name} next")
    later = Counted(file)
    later.compare(_SQL.format(**_ONE))
    assert later.calls == 1


def test_what_a_server_of_another_version_still_keeps_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "translations.db"
    earlier = Counted(file)
    monkeypatch.setattr("loader.local.translations.metadata.version", lambda name: f"{name} next")
    later = Counted(file)
    earlier.compare(_SQL.format(**_ONE))
    later.compare(_SQL.format(**_ONE))
    assert (earlier.calls, later.calls) == (1, 1)


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "translations.db"
    file.write_text("no database " * 100, encoding="utf-8")
    with pytest.raises(sqlite3.DatabaseError):
        KeptTranslations(file)
