"""Lets bqemulator 1.4.0 translate a statement with few parses, copies and texts.

It parses a statement some twenty times, since each of its rewriters reads a text and writes one.
Here a text is parsed once, and the rewriters hand on the tree. What they write is the same:
tests/loader/local/test_trees.py compares both ways.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from copy import deepcopy
from functools import wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import sqlglot
from bqemulator.catalog import ddl_sync
from bqemulator.jobs import ddl_result, executor, routine_ddl
from bqemulator.sql import catalog_schema, table_rewriter, translator
from bqemulator.sql.rewriter import (
    aggregate_variants,
    collate_specifier,
    create_table_schema_ctas,
    datetime_helpers,
    division_by_zero,
    json_helpers,
    safe_helpers,
    session_user,
    sha512,
    specialized_types,
    string_helpers,
    struct_helpers,
    timestamp_iso_helpers,
    unnest_offset,
    unnest_struct,
)
from bqemulator.sql.translator import SQLTranslator
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.expressions import core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["copied", "keep_trees", "parsed_once"]

# Trees are large, and bqemulator asks for the same one again only while it handles a statement.
_KEPT_TREES = 64
# These look at a statement's tree to find out what it is about, and do not change it.
_READERS = (
    ddl_result._parse_statement,  # noqa: SLF001
    ddl_sync._detect_catalog_drop,  # noqa: SLF001
    ddl_sync._detect_create_schema,  # noqa: SLF001
    ddl_sync._detect_plain_create_table,  # noqa: SLF001
    ddl_sync._detect_plain_create_view,  # noqa: SLF001
    ddl_sync._extract_ddl_metadata,  # noqa: SLF001
    executor._capture_dml_snapshots,  # noqa: SLF001
    executor._parse_for_classification,  # noqa: SLF001
    executor._reject_dml_on_immutable,  # noqa: SLF001
    catalog_schema.build_catalog_schema,
    routine_ddl.detect_drop_routine,
)
# These write a tree's text as the last thing that they do with the tree.
_LAST_USERS = (
    SQLTranslator._apply_rules,  # noqa: SLF001
    table_rewriter.rewrite_table_refs,
    unnest_offset.rewrite_unnest_offset,
)
_REWRITERS_OF_TREES = (
    aggregate_variants,
    collate_specifier,
    create_table_schema_ctas,
    datetime_helpers,
    division_by_zero,
    json_helpers,
    safe_helpers,
    session_user,
    sha512,
    specialized_types,
    string_helpers,
    struct_helpers,
    timestamp_iso_helpers,
    unnest_struct,
)
_REWRITERS_OF_TEXTS = (
    "rewrite_alter_table_set_options",
    "rewrite_decimal_literals",
    "rewrite_numeric_literals",
    "rewrite_partition_pseudo_columns",
    "rewrite_range_sessionize",
)
# More than half of a tree's nodes are of these kinds, to which none of bqemulator's rules applies.
_PLAIN = frozenset(
    {
        exp.Alias,
        exp.And,
        exp.Boolean,
        exp.Column,
        exp.Identifier,
        exp.Literal,
        exp.Null,
        exp.Paren,
        exp.Table,
        exp.TableAlias,
    }
)


def keep_trees() -> None:
    """Change bqemulator and sqlglot, in this process, to all of this."""
    setattr(core, "deepcopy", copied(deepcopy))  # noqa: B010 - a patch
    setattr(sqlglot, "parse_one", parsed_once(sqlglot.parse_one, _READERS))  # noqa: B010
    setattr(Dialect, "generate", _generated_in_place(Dialect.generate, _LAST_USERS))  # noqa: B010
    _skip_plain_nodes()
    _hand_on_trees()


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


def _generated_in_place(
    generate: Callable[..., str], last_users: Iterable[Callable[..., Any]]
) -> Callable[..., str]:
    """Wrap ``Dialect.generate``, which copies a tree since it changes it.

    Args:
        generate: The method.
        last_users: Functions that do not use the tree afterwards; it is not copied for them.

    """
    last = {user.__code__ for user in last_users}

    @wraps(generate)
    def generate_text(self: Dialect, expression: exp.Expr, **options: Any) -> str:
        if sys._getframe(1).f_code in last:  # noqa: SLF001 - a look at the caller
            options["copy"] = False
        return generate(self, expression, **options)

    return generate_text


def _skip_plain_nodes() -> None:
    """Ask bqemulator's rules, some ninety, only about nodes to which one can apply."""
    apply = SQLTranslator._apply_first_matching_rule  # noqa: SLF001

    @wraps(apply)
    def apply_unless_plain(self: SQLTranslator, node: Any, tree: Any) -> bool:
        return type(node) not in _PLAIN and apply(self, node, tree)

    setattr(SQLTranslator, "_apply_first_matching_rule", apply_unless_plain)  # noqa: B010


def _hand_on_trees() -> None:
    """Let the rewriters of ``SQLTranslator.translate`` hand on a tree instead of its text."""
    of_trees = SimpleNamespace(parse_one=_root, errors=sqlglot.errors)
    for module in _REWRITERS_OF_TREES:
        setattr(module, "sqlglot", of_trees)  # noqa: B010 - a patch
    for name in _REWRITERS_OF_TEXTS:
        setattr(translator, name, _on_text(getattr(translator, name)))
    name = "rewrite_timestamp_iso_helpers"
    setattr(translator, name, _read_again(getattr(translator, name)))
    of_translator = SimpleNamespace(
        parse_one=lambda sql, read: sqlglot.parse_one(sql, read=read),
        transpile=_transpile,
        errors=sqlglot.errors,
    )
    setattr(translator, "sqlglot", of_translator)  # noqa: B010 - a patch
    translate = SQLTranslator.translate

    @wraps(translate)
    def translate_statement(self: SQLTranslator, bq_sql: str, **options: Any) -> Any:
        return translate(self, _Statement(bq_sql), **options)

    setattr(SQLTranslator, "translate", translate_statement)  # noqa: B010 - a patch


class _Everything(str):
    """Says that it contains any text."""

    __slots__ = ()

    def __contains__(self, text: object) -> bool:
        return True


class _Statement(str):
    """A statement on its way through the rewriters: its text, and its tree once one is asked for.

    A rewriter first looks for its words in the text. After a change the text is the earlier one:
    so it is said to contain all words, and the rewriter looks at the tree.
    """

    __slots__ = ("is_changed", "tree")
    tree: exp.Expr | None
    is_changed: bool

    def __new__(cls, text: str, tree: exp.Expr | None = None, *, is_changed: bool = False) -> Self:
        """Make it from its text, and its tree if there is one."""
        statement = super().__new__(cls, text)
        statement.tree, statement.is_changed = tree, is_changed
        return statement

    def upper(self) -> str:
        return _Everything() if self.is_changed else str.upper(self)

    def lower(self) -> str:
        return _Everything() if self.is_changed else str.lower(self)

    def __contains__(self, text: object) -> bool:
        return self.is_changed or (isinstance(text, str) and str.__contains__(self, text))

    def written(self) -> _Statement:
        """Return the statement with its tree's text."""
        if self.tree is None or not self.is_changed:
            return self
        return _Statement(self.tree.sql(dialect="bigquery"), self.tree)


class _Root:
    """The tree of a statement; a rewriter that has changed it returns its ``sql``."""

    def __init__(self, statement: _Statement, tree: exp.Expr) -> None:
        self._statement, self._tree = statement, tree

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tree, name)

    def sql(self, dialect: str) -> _Statement:
        """Return the changed statement; its text is written when a rewriter reads it."""
        assert dialect == "bigquery"
        return _Statement(self._statement, self._tree, is_changed=True)


def _root(sql: str, read: str) -> Any:
    if not isinstance(sql, _Statement):
        return sqlglot.parse_one(sql, read=read)
    if sql.tree is None:
        sql.tree = sqlglot.parse_one(str(sql), read=read)
    return _Root(sql, sql.tree)


def _on_text(rewrite: Callable[[str], str]) -> Callable[[str], str]:
    """Wrap a rewriter that looks at the text alone."""

    @wraps(rewrite)
    def rewrite_text(sql: str) -> str:
        assert isinstance(sql, _Statement)
        statement = sql.written()
        text = rewrite(str(statement))
        return statement if text == str(statement) else _Statement(text)

    return rewrite_text


def _read_again(rewrite: Callable[[str], str]) -> Callable[[str], str]:
    """Wrap a rewriter whose changes sqlglot types only when it reads them as text."""

    @wraps(rewrite)
    def rewrite_and_read(sql: str) -> str:
        assert isinstance(sql, _Statement)
        rewritten = rewrite(sql)
        assert isinstance(rewritten, _Statement)
        return _Statement(rewritten.written()) if rewritten.is_changed else rewritten

    return rewrite_and_read


def _transpile(sql: str, *, read: str, write: str, pretty: bool) -> list[str]:
    assert isinstance(sql, _Statement)
    if sql.tree is None or isinstance(sql.tree, exp.Block):
        return sqlglot.transpile(str(sql.written()), read=read, write=write, pretty=pretty)
    return [Dialect.get_or_raise(write).generate(sql.tree, copy=False, pretty=pretty)]
