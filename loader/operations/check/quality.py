"""Checks of data from tills and senders: how much can be used, and why the rest cannot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from loader.operations.check.checklist import Finding
from loader.operations.check.tables import BIGQUERY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loader.bigquery.warehouse import Warehouse
    from loader.dbt.runner import Dbt
    from loader.dbt.spec import BuildSpec
    from loader.operations.check.checklist import Check, Checklist

__all__ = ["QUALITY", "check_quality"]

QUALITY = "select field, problem, row_count from {{ ref('data_quality') }}"


@dataclass(frozen=True)
class _Field:
    """One line of the report; `name` is a field of the model data_quality."""

    name: str
    table: str
    counted: str
    """What is counted, such as customers."""
    least_percent: float
    """Warn when a smaller share can be used."""
    fix: str
    needs_rows: bool = True
    """Warn when there is nothing to count."""


_FIELDS = (
    _Field(
        "phones",
        "clientes",
        "customers",
        80,
        "have the laundromat ask for mobile numbers with area code: the others get INVALID_PHONE",
    ),
    _Field(
        "cpfs",
        "clientes",
        "customers",
        80,
        "have the laundromat ask for the cpf: sales find their customer by it",
    ),
    _Field(
        "names",
        "clientes",
        "customers",
        80,
        "have the laundromat ask for names: the others are greeted as `cliente`",
    ),
    _Field(
        "birth dates",
        "clientes",
        "customers",
        50,
        "have the laundromat ask for the birth date: the others get no birthday message",
    ),
    _Field(
        "sales",
        "vendas",
        "sales of 31 days",
        95,
        "look at the point-of-sale export: it may deliver rows twice, and each counts as a visit",
        needs_rows=False,
    ),
    _Field(
        "statuses",
        "vendas",
        "sales of 31 days",
        80,
        "look at the status that the point-of-sale export writes: only COMPLETED counts",
        needs_rows=False,
    ),
    _Field("coupons", "vendas", "coupons of 31 days", 0, "", needs_rows=False),
    _Field(
        "opt-outs",
        "opt_outs",
        "numbers",
        100,
        "write the whole phone or the user_id into these rows of opt_outs",
        needs_rows=False,
    ),
)


def check_quality(
    checklist: Checklist,
    warehouse: Warehouse,
    dbt: Dbt,
    spec: BuildSpec,
    tables: Mapping[str, Check],
) -> None:
    """Add a line for each field, with counts and never a value.

    Args:
        checklist: Takes the lines.
        warehouse: Runs the query.
        dbt: Compiles the model data_quality.
        spec: The laundromat, its settings and the instant.
        tables: The checks of the columns, by table.

    """

    @cache
    def counts() -> list[dict[str, Any]]:
        sql = dbt.compile_sql(spec, QUALITY)
        return warehouse.query(sql, doing=f"counting what can be used of {spec.cnpj}")

    # One query for all lines: it needs every table, and is not repeated if it fails.
    needed = [tables[name] for name in ("clientes", "vendas", "opt_outs")]
    lines: list[Check] = []
    for field in _FIELDS:

        def attempt(field: _Field = field) -> Finding:
            rows = [row for row in counts() if row["field"] == field.name]
            return _finding(field, {row["problem"]: row["row_count"] for row in rows})

        lines.append(
            checklist.add(
                field.name,
                tables[field.table].about,
                attempt,
                service=BIGQUERY,
                needs=[*needed, *lines[:1]],
            )
        )


def _finding(field: _Field, rows: Mapping[str | None, int]) -> Finding:
    usable, total = rows.get(None, 0), sum(rows.values())
    problems = {name: rows[name] for name in sorted(filter(None, rows))}
    figures: dict[str, Any] = {"usable": usable, "total": total, "percent": None}
    figures["problems"] = problems
    if not total:
        fix = "look at the point-of-sale export" if field.needs_rows else ""
        return Finding(f"no {field.counted}", fix, figures)
    percent = figures["percent"] = round(100 * usable / total, 1)
    found = f"{percent}% usable: {usable} of {total} {field.counted}"
    if problems:
        found += f" ({', '.join(f'{count} {name}' for name, count in problems.items())})"
    # Compare before rounding: one bad row in a million is also less than 100 %.
    return Finding(found, field.fix if usable * 100 < field.least_percent * total else "", figures)
