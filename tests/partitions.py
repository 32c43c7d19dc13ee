"""How statements filter partitioned tables: BigQuery prunes only by a bare column and constants.

https://cloud.google.com/bigquery/docs/querying-partitioned-tables#prune_partitions
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp, parse_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loader.bigquery.declaration import SourceTable

__all__ = ["PartitionReads", "partition_problems"]

_COMPARISONS = (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.EQ, exp.Between, exp.Is)


@dataclass(frozen=True)
class PartitionReads:
    """How one statement reads partitioned tables."""

    compared: list[str] = field(default_factory=list)
    """Tables whose partition column is compared with a constant."""
    unfiltered: list[str] = field(default_factory=list)
    """Tables that are read as a whole."""
    problems: list[str] = field(default_factory=list)
    """Conditions that do not prune."""


def partition_problems(sql: str, tables: Iterable[SourceTable]) -> PartitionReads:
    """Check every SELECT that reads a partitioned source table directly.

    A condition on the partition column prunes when it compares the bare column with an expression
    without columns.
    """
    columns = {
        f"_{table.dataset_suffix}.{table.name}": table.partition_by
        for table in tables
        if table.partition_by
    }
    reads = PartitionReads()
    for select in parse_one(sql, dialect="bigquery").find_all(exp.Select):
        for table in select.find_all(exp.Table):
            column = columns.get(f"_{table.db.rpartition('_')[2]}.{table.name}")
            if column is None or table.parent_select is not select:
                continue
            conditions = list(_conditions(select, column))
            reads.problems.extend(
                f"{table.name}: {condition.sql(dialect='bigquery')}"
                for condition in conditions
                if not _is_bare(condition, column)
            )
            if conditions:
                reads.compared.append(table.name)
            else:
                reads.unfiltered.append(table.name)
    return reads


def _conditions(select: exp.Select, name: str) -> Iterator[exp.Expr]:
    """Yield the conditions, joined by AND, that contain the column."""
    clauses = [
        select.args.get("where"),
        *(join.args.get("on") for join in select.args.get("joins") or ()),
    ]
    for clause in clauses:
        whole = clause.this if isinstance(clause, exp.Where) else clause
        for condition in whole.flatten() if isinstance(whole, exp.And) else [whole]:
            if condition and any(column.name == name for column in condition.find_all(exp.Column)):
                yield condition


def _is_bare(condition: exp.Expr, name: str) -> bool:
    if not isinstance(condition, _COMPARISONS):
        return False
    columns = list(condition.find_all(exp.Column))
    return len(columns) == 1 and columns[0].name == name and columns[0].parent is condition
