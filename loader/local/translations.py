"""Keeps bqemulator's translations of BigQuery's SQL.

To translate a statement takes bqemulator longer than to run it. The statements of different builds
differ only in the laundromat and the instant. So a statement is translated with placeholders for
these, and the translation is kept: in memory, and in a file for other servers and later ones.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections import OrderedDict
from functools import wraps
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bqemulator.domain.errors import DomainError
from bqemulator.domain.result import Ok

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KeptTranslations", "remembered", "rewritten_once"]

_KEPT = 1000
# The parts that differ. Each placeholder has the form of its value: another form could be
# translated in another way.
_PROJECT = re.compile(r"(?<=`)[a-z][a-z0-9-]{4,28}[a-z0-9](?=`\.`\w+`\.`)")
_CNPJ = re.compile(r"(?<![0-9A-Z])[0-9A-Z]{12}[0-9]{2}(?=_(?:RAW|CAMPAIGN|PREVIEW)`)")
_SCRATCH = re.compile(r"(?<=vmhub_scratch_)[0-9a-f]{32}")
_INSTANT = re.compile(r"(?<=')\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00(?=')")
_DATE = re.compile(r"(?<=')\d{4}-\d\d-\d\d(?=')")
_PLACEHOLDERS = (
    (_PROJECT, "zzproject-{:02d}"),
    (_CNPJ, "990000000000{:02d}"),
    (_SCRATCH, "{:032d}"),
    (_INSTANT, "1971-02-03 04:05:06.{:06d}+00:00"),
    (_DATE, "1971-02-{:02d}"),
)
_ANY_PLACEHOLDER = re.compile(r"zzproject|990{10}|1971-02-|0{30}")
# A date's placeholder has no room for more.
_MOST_OF_A_KIND = 28


class _Neutral:
    """A statement with placeholders."""

    def __init__(self, sql: str) -> None:
        """Replace the parts of ``sql`` that differ; `is_possible`: all could be replaced."""
        self.is_possible = _ANY_PLACEHOLDER.search(sql) is None
        self._values: dict[str, str] = {}
        for pattern, form in _PLACEHOLDERS:
            for number, value in enumerate(dict.fromkeys(pattern.findall(sql)), start=1):
                self.is_possible &= number <= _MOST_OF_A_KIND
                placeholder = form.format(number)
                self._values[placeholder] = value
                sql = sql.replace(value, placeholder)
        self.sql = sql

    def applied(self, text: str) -> str:
        """Return another text with the same placeholders."""
        for placeholder, value in self._values.items():
            text = text.replace(value, placeholder)
        return text

    def restored(self, sql: str) -> str | None:
        """Return a translation with the statement's own values.

        None: the translation has the project in another spelling, in the name of a function.
        """
        for placeholder, value in self._values.items():
            sql = sql.replace(placeholder, value)
        return None if "zzproject" in sql.lower() else sql


class KeptTranslations:
    """Texts by what they were made from: the latest in memory, all of them in a file if asked."""

    def __init__(self, file: Path | None = None) -> None:
        """Use the file, which several servers may use at a time; it is made if there is none.

        Texts of another version are deleted. A server of that version may still run and keep more
        of them; so each server looks only for its own version's.

        Raises:
            sqlite3.Error: The file cannot be read or written.

        """
        self._latest: OrderedDict[str, str] = OrderedDict()
        self._rows: sqlite3.Connection | None = None
        if file is not None:
            self._version = _version()
            self._rows = sqlite3.connect(file, isolation_level=None, timeout=60)
            self._rows.execute("pragma journal_mode = wal")
            self._rows.execute("pragma synchronous = normal")
            self._rows.execute(
                "create table if not exists kept"
                " (version text, key text, text text not null, primary key (version, key))"
            )
            self._rows.execute("delete from kept where version <> ?", (self._version,))

    def get(self, key: str) -> str | None:
        """Return the text, if it is kept."""
        key = _short(key)
        text = self._latest.get(key)
        if text is None and self._rows is not None:
            query = "select text from kept where version = ? and key = ?"
            row = self._rows.execute(query, (self._version, key)).fetchone()
            text = row[0] if row else None
        if text is not None:
            self._in_memory(key, text)
        return text

    def keep(self, key: str, text: str) -> None:
        """Keep a text."""
        key = _short(key)
        self._in_memory(key, text)
        if self._rows is not None:
            row = (self._version, key, text)
            self._rows.execute("insert or ignore into kept values (?, ?, ?)", row)

    def _in_memory(self, key: str, text: str) -> None:
        self._latest[key] = text
        self._latest.move_to_end(key)
        if len(self._latest) > _KEPT:
            self._latest.popitem(last=False)


def _short(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _version() -> str:
    """Return what a translation depends on besides the statement: packages and our patches."""
    digest = hashlib.sha256()
    for package in ("bqemulator", "sqlglot", "duckdb"):
        digest.update(f"{package} {metadata.version(package)}\n".encode())
    for patches in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(patches.read_bytes())
    return digest.hexdigest()


def remembered(translate: Callable[..., Any], translations: KeptTranslations) -> Callable[..., Any]:
    """Wrap bqemulator's ``SQLTranslator.translate``; its result depends only on its arguments."""

    @wraps(translate)
    def translate_once(
        self: Any, sql: str, *, schema: dict[str, Any] | None = None, caller: Any = None
    ) -> Any:
        neutral = _Neutral(sql)
        if not neutral.is_possible:
            return translate(self, sql, schema=schema, caller=caller)
        columns = {neutral.applied(table): types for table, types in (schema or {}).items()}
        key = repr(("translation", neutral.sql, columns, caller))
        text = translations.get(key)
        if text is None:
            answer = translate(self, neutral.sql, schema=columns or None, caller=caller)
            # An error quotes the statement, so translate the original statement again.
            if answer.is_err():
                return translate(self, sql, schema=schema, caller=caller)
            text = str(answer.value)
            translations.keep(key, text)
        own = neutral.restored(text)
        if own is None:
            return translate(self, sql, schema=schema, caller=caller)
        return Ok(_Translation(own, neutral, text))

    return translate_once


class _Translation(str):
    """A translation that knows the statement with placeholders from which it was made."""

    __slots__ = ("neutral", "neutral_text")
    neutral: _Neutral
    neutral_text: str

    def __new__(cls, text: str, neutral: _Neutral, neutral_text: str) -> Self:
        """Make it from the text with the statement's own values, and the one without."""
        translation = super().__new__(cls, text)
        translation.neutral, translation.neutral_text = neutral, neutral_text
        return translation


def rewritten_once(
    rewrite: Callable[[str, str], str], translations: KeptTranslations
) -> Callable[[str, str], str]:
    """Wrap bqemulator's ``rewrite_table_refs``, which gets a translation and the project."""

    @wraps(rewrite)
    def rewrite_once(sql: str, project_id: str) -> str:
        if not isinstance(sql, _Translation):
            return rewrite(sql, project_id)
        project = sql.neutral.applied(project_id)
        key = repr(("tables", sql.neutral_text, project))
        text = translations.get(key)
        if text is None:
            try:
                text = rewrite(sql.neutral_text, project)
            except DomainError:
                # A refusal quotes a name of the statement, so the statement's own is refused below.
                return rewrite(str(sql), project_id)
            translations.keep(key, text)
        restored = sql.neutral.restored(text)
        return rewrite(str(sql), project_id) if restored is None else restored

    return rewrite_once
