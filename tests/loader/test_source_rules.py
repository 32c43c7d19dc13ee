"""What the source itself must not do: personal data in logs and errors, values in the text of SQL.

And no program's own clock in `updatedAt`, by which tracking finds what has changed.

These look at names and at the text around a placeholder, so they find the usual mistake and not
every possible one. Other tests look for people's data in what the commands really log.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from loader.dbt.project import find_project

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = find_project().root
PACKAGES = ("console", "loader", "whatsapp")

_LEVELS = {"critical", "debug", "error", "exception", "info", "log", "warn", "warning"}
_TEXTS_OF_ERRORS = {"doing", "hint", "message", "reason"}
# A word of a name, so `phone`, `person.cpf`, `row["phone"]` and `safe_text(wa_id)`.
_PERSONAL = {
    *("birth", "cpf", "cpfs", "nome", "password", "phone", "phones", "recipient", "secret"),
    *("telefone", "token", "tokens", "wa"),
}
# In a log also whatever may hold such a value. `name` may be a person's.
_PERHAPS_PERSONAL = _PERSONAL | {
    *("body", "customer", "data", "document", "name", "payload", "person", "row", "rows", "text"),
}
# What has such a name and is no person's.
_NAMES_OF_THINGS = {
    ("loader/fleet/schedule.py", "command.name"),  # run or alert
    ("loader/operations/status/receivers.py", "name"),  # the kind of a receiver of alerts
}

_SQL = re.compile(
    r"\bselect\b.*\bfrom\b|\binsert\s+into\b|\bupdate\b.*\bset\b|\bdelete\s+from\b|\bmerge\s+(into\s+)?`"
    r"|\b(create|drop|alter)\s+(or\s+replace\s+)?(temp\s+)?(table|schema|view|function)\b"
    r"|^\s*where\s",
    re.IGNORECASE | re.DOTALL,
)
# Here stands a value, not a list of columns or a condition.
_BEFORE_A_VALUE = re.compile(
    r"([=<>+*/-]|\b(and|between|in\s*\(|in\s+unnest\s*\(|interval|like|limit|offset|values\s*\())\s*$",
    re.IGNORECASE,
)
# Calls that return a literal of a number or an instant, whatever they are given.
_LITERALS = {"int", "timestamp"}
_NAMES_OF_COLUMNS = {
    ("loader/local/bigquery_server.py", "column.name"),  # DuckDB quotes it so
    # Escaped texts, in a statement that is shown to the owner of RAW and not run.
    ("loader/operations/privacy/erase.py", "ids"),
}


# Logs and errors


def _personal(told: ast.expr, words: set[str]) -> Iterator[str]:
    """Yield the parts of an expression whose names are a person's, but for counts and classes."""
    if isinstance(told, ast.Call) and getattr(told.func, "id", "") in {"len", "sum", "type"}:
        return
    name = ""
    if isinstance(told, ast.Name):
        name = told.id
    elif isinstance(told, ast.Attribute) and told.attr != "__name__":
        name = told.attr
    elif isinstance(told, ast.Subscript) and isinstance(told.slice, ast.Constant):
        name = str(told.slice.value)
    if words & set(re.findall(r"[a-z]+", name.lower())):
        yield ast.unparse(told)
        return
    for child in ast.iter_child_nodes(told):
        # A method's own name says nothing of what it returns.
        of = child.value if child is getattr(told, "func", None) and _is_method(child) else child
        if isinstance(of, ast.expr):
            yield from _personal(of, words)


def _is_method(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute)


def _named(node: ast.Assign | ast.keyword) -> str | None:
    return node.arg if isinstance(node, ast.keyword) else getattr(node.targets[0], "id", None)


def _told(node: ast.AST) -> Iterator[tuple[ast.expr, set[str]]]:
    """Yield what a statement tells people, with the words that must not be in it."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _LEVELS
    ):
        for told in (*node.args, *(keyword.value for keyword in node.keywords)):
            yield told, _PERHAPS_PERSONAL
    text = None
    if isinstance(node, ast.Raise):
        text = node.exc
    elif isinstance(node, ast.Assign | ast.keyword) and _named(node) in _TEXTS_OF_ERRORS:
        text = node.value
    for part in ast.walk(text) if text is not None else ():
        if isinstance(part, ast.FormattedValue):
            yield part.value, _PERSONAL


def _leaks(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        for told, words in _told(node):
            yield from _personal(told, words)


# SQL


def _is_harmless(value: ast.expr) -> bool:
    """Whether it is a column (`x.…`), a number, an instant, or a joined list of these."""
    if isinstance(value, ast.JoinedStr):
        return isinstance(value.values[0], ast.Constant) and str(value.values[0].value)[-1] == "."
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "str":
        return _is_harmless(value.args[0])
    if isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "join":
        [listed] = value.args
        return isinstance(listed, ast.GeneratorExp) and _is_harmless(listed.elt)
    return isinstance(value, ast.Call) and getattr(value.func, "id", "") in _LITERALS


def _is_value(before: str, value: ast.expr) -> bool:
    """Whether a placeholder after this text puts a value into the SQL."""
    if before.count("`") % 2 or _is_harmless(value):
        # The name of a table: a CNPJ that was parsed, or a declared name. Or a literal.
        return False
    is_in_quotes = bool(before.count("'") % 2 or before.count('"') % 2)
    return is_in_quotes or _BEFORE_A_VALUE.search(before) is not None


def _pieces(text: ast.JoinedStr) -> Iterator[tuple[str, ast.expr]]:
    """Yield each placeholder of an f-string with the text before it."""
    before = ""
    for piece in text.values:
        if isinstance(piece, ast.Constant):
            before += str(piece.value)
        elif isinstance(piece, ast.FormattedValue):
            yield before, piece.value
            before += "x"


def _templates(tree: ast.Module) -> dict[str, str]:
    """Return the module's constant texts by name."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }


def _values_in_sql(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    templates = _templates(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            written = "".join(str(getattr(piece, "value", "")) for piece in node.values)
            if _SQL.search(written):
                yield from (ast.unparse(v) for before, v in _pieces(node) if _is_value(before, v))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "format":
            assert isinstance(node.func, ast.Attribute)
            text = templates.get(getattr(node.func.value, "id", ""), "")
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            for place in re.finditer(r"\{(\w+)\}", text) if _SQL.search(text) else ():
                value = given.get(place[1])
                if value is not None and _is_value(text[: place.start()], value):
                    yield ast.unparse(value)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
            text = str(getattr(node.left, "value", "")) or templates.get(
                getattr(node.left, "id", ""), ""
            )
            if _SQL.search(text) and not isinstance(node.right, ast.Constant):
                yield ast.unparse(node.right)


# Clocks

# Sync writes the run's instant, and never an earlier one than it has read. What it writes is no
# news for tracking.
_WRITES_THE_RUNS_INSTANT = "loader/firestore/targets.py"


def _own_clocks(source: str) -> Iterator[str]:
    """Yield what a program writes into updatedAt that is not Firestore's own time."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                is_written = isinstance(key, ast.Constant) and key.value == "updatedAt"
                if is_written and ast.unparse(value) != "SERVER_TIME":
                    yield ast.unparse(value)


# The tests


def _sources() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_no_log_and_no_error_tells_a_name_a_phone_or_a_cpf() -> None:
    found = {(path, told) for path, source in _sources() for told in _leaks(source)}
    # The second part: an exception that no longer exists is removed.
    assert found == _NAMES_OF_THINGS


def test_no_value_is_written_into_the_text_of_sql() -> None:
    found = {(path, value) for path, source in _sources() for value in _values_in_sql(source)}
    assert found == _NAMES_OF_COLUMNS


def test_no_program_writes_its_own_clock_into_updated_at() -> None:
    found = {path for path, source in _sources() if [*_own_clocks(source)]}
    assert found == {_WRITES_THE_RUNS_INSTANT}


@pytest.mark.parametrize(
    "line",
    [
        '_log.info("sent to %s", phone)',
        '_log.warning("%s", target.document)',
        "_log.error(f\"{row['cpf']} twice\")",
        '_log.info("%s is done", customer.first_name)',
        '_log.info("sent", extra={"to": message.wa_id})',
        '_log.debug("%s", safe_text(phone.strip()))',
        'raise ValueError(f"no mobile: {phone!r}")',
        'message = f"{person.cpf} is nobody\'s"',
        'fail(hint=f"use {access_token}")',
    ],
)
def test_a_personal_value_is_found(line: str) -> None:
    assert [*_leaks(line)]


@pytest.mark.parametrize(
    "line",
    [
        '_log.info("%s of %s", cnpj, len(phones))',
        '_log.error("%s", type(error).__name__)',
        'message = f"{len(phones)} numbers cannot be read"',
        'message = f"the setting {name} has no rule"',
    ],
)
def test_counts_classes_and_names_of_settings_are_no_personal_values(line: str) -> None:
    assert [*_leaks(line)] == []


@pytest.mark.parametrize(
    "source",
    [
        "f\"select 1 from t where phone = '{phone}'\"",
        'f"select 1 from t where id = {customer_id}"',
        'f"select 1 from t where id in ({ids})"',
        'f"insert into `{table}` (number) values ({number})"',
        'f"select 1 from `{table}` limit {count}"',
        "Q = \"select 1 from `{t}` where id = '{id}'\"\nQ.format(t=t, id=customer_id)",
        '"select 1 from t where id = %s" % customer_id',
        '"select 1 from t where id = " + customer_id',
        'Q = "select 1 from t where id = "\nQ + customer_id',
    ],
)
def test_a_value_in_sql_is_found(source: str) -> None:
    assert [*_values_in_sql(source)]


@pytest.mark.parametrize(
    "source",
    [
        'f"select 1 from `{cnpj}_RAW`.`clientes` where at >= {timestamp(since)}"',
        "f\"select 1 from t where code in ({', '.join(str(int(code)) for code in codes)})\"",
        'f"select {columns} from t {condition}"',
        'f"choose one from {names}, with a place where {it} fits"',
    ],
)
def test_names_of_tables_and_literals_are_no_values(source: str) -> None:
    assert [*_values_in_sql(source)] == []
