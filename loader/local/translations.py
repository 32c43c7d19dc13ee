"""Caches bqemulator's syntax trees and translations of BigQuery's SQL.

bqemulator 1.4.0 parses a statement some twenty times to translate it, which takes longer than to
run it. So a text is parsed once, and each caller gets a copy. The statements of different builds
differ only in the laundromat and the instant. So a statement is translated with placeholders for
these, and the translation is kept.
"""

from __future__ import annotations

import re
import sys
from collections import OrderedDict
from functools import wraps
from typing import TYPE_CHECKING, Any

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

__all__ = ["copied", "parsed_once", "remembered"]

_KEPT = 1000
# Trees are large, and bqemulator asks for the same one again only while it handles a statement.
_KEPT_TREES = 64
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


def copied(deepcopy: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the ``deepcopy`` with which sqlglot 30 copies the parts of its trees.

    The parts are trees, or dicts and lists of plain values. Python's own function takes most of the
    time of a copy, and copying types takes much of the time of a parse.
    """

    def copy_part(part: Any, memo: dict[int, Any] | None = None) -> Any:
        if isinstance(part, exp.Expr):
            return part.__deepcopy__(memo)
        if type(part) is dict:
            return dict(part)
        if type(part) is list:
            return [copy_part(item) for item in part]
        return deepcopy(part, memo)

    return copy_part


def parsed_once(
    parse_one: Callable[..., exp.Expr], readers: Iterable[Callable[..., Any]] = ()
) -> Callable[..., exp.Expr]:
    """Wrap ``sqlglot.parse_one``: a text is parsed once, and each caller gets a copy to change.

    Args:
        parse_one: The function.
        readers: Functions that call it and do not change the tree; they get the tree itself.

    """
    only_read = {reader.__code__ for reader in readers}
    kept: OrderedDict[tuple[str, Any], exp.Expr] = OrderedDict()

    @wraps(parse_one)
    def parse(sql: str, read: Any = None, **options: Any) -> exp.Expr:
        if options:
            return parse_one(sql, read=read, **options)
        tree = kept.get((sql, read))
        if tree is None:
            tree = kept[sql, read] = parse_one(sql, read=read)
            if len(kept) > _KEPT_TREES:
                kept.popitem(last=False)
        kept.move_to_end((sql, read))
        caller = sys._getframe(1).f_code  # noqa: SLF001 - a look at the caller
        return tree if caller in only_read else tree.copy()

    return parse


def remembered(translate: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap bqemulator's ``SQLTranslator.translate``; its result depends only on its arguments."""
    kept: OrderedDict[Hashable, Any] = OrderedDict()

    @wraps(translate)
    def translate_once(
        self: Any, sql: str, *, schema: dict[str, Any] | None = None, caller: Any = None
    ) -> Any:
        neutral = _Neutral(sql)
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
        # An error quotes the statement, so translate the original statement again.
        if answer.is_err():
            return translate(self, sql, schema=schema, caller=caller)
        own = neutral.restored(answer.value)
        if own is None:
            return translate(self, sql, schema=schema, caller=caller)
        return type(answer)(own)

    return translate_once
