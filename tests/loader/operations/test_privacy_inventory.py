"""The inventory of personal data knows every table, column and collection of the project."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from loader.operations.privacy.inventory import (
    COLLECTIONS,
    IMPERSONAL_COLUMNS,
    IMPERSONAL_TABLES,
    PERSON_TABLES,
    Erasure,
    PersonTable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.base.environment import Environment
    from loader.dbt.project import Project
    from loader.dbt.runner import ParsedProject

BY_NAME = {table.name: table for table in PERSON_TABLES}


@pytest.fixture
def tables(
    project: Project, parsed: ParsedProject, environment: Environment
) -> dict[str, set[str]]:
    """Return the columns of every table that exists somewhere, by name."""
    found = {
        table.name: {column.name for column in table.columns} for table in project.source_tables()
    }
    for node in parsed.manifest(environment).nodes.values():
        is_model = node.resource_type in ("model", "seed")
        if is_model and node.config.materialized != "ephemeral":
            found[node.name] = set(node.columns)
    return found


def problems(
    tables: dict[str, set[str]], by_name: dict[str, PersonTable] = BY_NAME
) -> Iterator[str]:
    for name, columns in tables.items():
        declared = by_name.get(name)
        if declared is None:
            if name not in IMPERSONAL_TABLES:
                yield f"table {name}"
            unknown = columns - IMPERSONAL_COLUMNS
        elif declared.erasure is Erasure.PSEUDONYMS:
            own = {declared.person_column, *declared.cleared}
            unknown = columns - own - IMPERSONAL_COLUMNS
        else:
            # The whole row is deleted, or somebody else's.
            unknown = set()
        yield from (f"column {name}.{column}" for column in sorted(unknown))


def test_every_table_and_column_is_in_the_inventory(tables: dict[str, set[str]]) -> None:
    """If this fails: say in inventory.py what becomes of the new column in an erasure."""
    assert len(tables) > 25
    assert list(problems(tables)) == []
    assert {*BY_NAME, *IMPERSONAL_TABLES} == set(tables)
    used = {column for columns in tables.values() for column in columns}
    assert used >= IMPERSONAL_COLUMNS


def test_a_new_table_or_column_is_found(tables: dict[str, set[str]]) -> None:
    with_news = {
        **tables,
        "messages": tables["messages"] | {"first_name"},
        "runs": tables["runs"] | {"customer_id"},
        "birthday_calls": {"customer_id", "cnpj"},
    }
    assert list(problems(with_news)) == [
        "column runs.customer_id",
        "column messages.first_name",
        "table birthday_calls",
        "column birthday_calls.customer_id",
    ]


def test_what_the_inventory_says_of_a_table_is_declared(
    project: Project, tables: dict[str, set[str]]
) -> None:
    partitions = {table.name: table.partition_by for table in project.source_tables()}
    for table in PERSON_TABLES:
        named = {table.person_column, *table.cleared, *table.key}
        assert named <= tables[table.name], table.name
        if table.erasure is Erasure.PSEUDONYMS and table.name in partitions:
            assert partitions[table.name] == table.partition_by


def test_every_collection_in_the_code_is_in_the_inventory(project: Project) -> None:
    """Find the texts that code passes to `path`, or names as a collection."""
    known = {part for item in COLLECTIONS for part in item.path.split("/") if part != "*"}
    found = set()
    for folder in ("loader", "whatsapp"):
        for path in sorted((project.root / folder).rglob("*.py")):
            if "fake" not in path.parts:
                found |= set(_collections(ast.parse(path.read_text(encoding="utf-8"))))
    assert found - {"clock", "run", "send", "REACTIVATION", "erasures"} <= known
    assert {"targets", "sends", "suppressions", "confirmations"} <= found


def _collections(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="path" | "named")):
                parts = node.args
            case ast.Dict():
                parts = [
                    value
                    for key, value in zip(node.keys, node.values, strict=True)
                    if isinstance(key, ast.Constant) and key.value == "collection_id"
                ]
            case ast.Assign(targets=[ast.Name(id=name)]) if name.startswith("_COLLECTION"):
                parts = [node.value]
            case _:
                continue
        for part in parts:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value
