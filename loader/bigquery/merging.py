"""Writes rows with people's data into a table of {CNPJ}_CAMPAIGN: load, then one MERGE.

The rows are loaded into a table of their own, which is billed as another 10 MiB. BigQuery would
keep a query parameter, with people's texts and phones, with the job for six months
(https://cloud.google.com/bigquery/docs/information-schema-jobs).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from loader.bigquery.declaration import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse

__all__ = ["columns_of", "load_and_merge"]

_TYPES = {str: "STRING", int: "INT64", bool: "BOOL", datetime: "TIMESTAMP"}


def columns_of(row_type: type) -> tuple[Column, ...]:
    """Return the columns of a dataclass whose types are ``T`` or ``T | None``."""
    return tuple(
        Column(name, _TYPES[(get_args(annotation) or (annotation,))[0]], "")
        for name, annotation in get_type_hints(row_type).items()
    )


def load_and_merge(
    warehouse: Warehouse,
    cnpj: Cnpj,
    columns: Sequence[Column],
    rows: Sequence[Any],
    statement: Callable[[str], str],
    *,
    doing: str,
) -> None:
    """Load rows into a short-lived table, and merge it.

    Args:
        warehouse: Where the tables are.
        cnpj: The laundromat.
        columns: As `columns_of` returns them for the type of the rows.
        rows: Dataclasses of one type.
        statement: Returns the MERGE, given the name of the table with the rows.
        doing: For errors.

    """
    items = [json.loads(json.dumps(asdict(row), default=datetime.isoformat)) for row in rows]
    with warehouse.loaded(f"{cnpj}_CAMPAIGN", columns, items, doing=doing) as news:
        warehouse.query(statement(news), doing=doing)
