"""Translations of BigQuery's SQL that bqemulator keeps from statement to statement.

bqemulator 1.4.0 parses and rewrites a statement some twenty times to translate it, which takes
longer than to run it. The statements of a build differ from hour to hour only in whose they are and
as of when. So a statement is translated with placeholders for these, and the translation is kept.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Neutral", "remembered"]

_KEPT = 1000
# What differs, each with a placeholder of the same form: other forms could be translated otherwise.
_PROJECT = re.compile(r"(?<=`)[a-z][a-z0-9-]{4,28}[a-z0-9](?=`\.`\w+`\.`)")
_CNPJ = re.compile(r"(?<![0-9A-Z])[0-9A-Z]{12}[0-9]{2}(?=_(?:RAW|CAMPAIGN|PREVIEW)`)")
_SCRATCH = re.compile(r"(?<=vmhub_scratch_)[0-9a-f]{32}")
_INSTANT = re.compile(r"(?<=')\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00(?=')")
_DATE = re.compile(r"(?<=')\d{4}-\d\d-\d\d(?=')")
_PLACEHOLDERS = (
    (_PROJECT, "placeholder-{:02d}"),
    (_CNPJ, "990000000000{:02d}"),
    (_SCRATCH, "{:032d}"),
    (_INSTANT, "1971-02-03 04:05:06.{:06d}+00:00"),
    (_DATE, "1971-02-{:02d}"),
)
_ANY_PLACEHOLDER = re.compile(r"placeholder-|990{10}|1971-02-|0{30}")
# More would not fit into the placeholder of a date.
_MOST_OF_A_KIND = 28


class Neutral:
    """A statement with placeholders."""

    def __init__(self, sql: str) -> None:
        """Replace in ``sql`` what differs; `is_possible` says whether all of it could be."""
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

    def restored(self, sql: str) -> str:
        """Return a translation of it with the statement's own values."""
        for placeholder, value in self._values.items():
            sql = sql.replace(placeholder, value)
        return sql


def remembered(translate: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap bqemulator's ``SQLTranslator.translate``, whose answer depends on its arguments only."""
    kept: OrderedDict[Hashable, Any] = OrderedDict()

    @wraps(translate)
    def translate_once(
        self: Any, sql: str, *, schema: dict[str, Any] | None = None, caller: Any = None
    ) -> Any:
        neutral = Neutral(sql)
        if not neutral.is_possible:
            return translate(self, sql, schema=schema, caller=caller)
        columns = {neutral.applied(table): types for table, types in (schema or {}).items()}
        key = (neutral.sql, repr(columns), repr(caller))
        if key not in kept:
            kept[key] = translate(self, neutral.sql, schema=columns or None, caller=caller)
            if len(kept) > _KEPT:
                kept.popitem(last=False)
        kept.move_to_end(key)
        answer = kept[key]
        # A refusal quotes the statement, so it is made from the statement as it came.
        if answer.is_err():
            return translate(self, sql, schema=schema, caller=caller)
        return type(answer)(neutral.restored(answer.value))

    return translate_once
