"""Removes what a laundromat's tables have kept for long enough; each statement can be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.bigquery.declaration import OPS_DATASET
from loader.bigquery.literals import timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse

__all__ = ["KeptColumns", "KeptRows", "OldRows"]

_COUNT = "select count(*) as found from {path} where {condition}"
_CLEAR = "update {path} set {values} where {condition}"
_DELETE = "delete from {path} where {condition}"


@dataclass(frozen=True)
class KeptColumns:
    """Columns of a table of {CNPJ}_CAMPAIGN that become NULL after some time."""

    setting: str
    """The setting with the number of days."""
    table: str
    instant: str
    """The column that says how old a row is."""
    columns: tuple[str, ...]


@dataclass(frozen=True)
class KeptRows:
    """Rows of a table of VMHUB_OPS that are deleted after some time."""

    setting: str
    table: str
    instant: str
    is_shared: bool = False
    """Its rows are about the whole fleet."""


class OldRows:
    """What is older than it may be, in one laundromat's tables or in those of the fleet."""

    def __init__(self, warehouse: Warehouse, cnpj: Cnpj | None) -> None:
        """Look at a laundromat's rows; None: at those about the whole fleet."""
        self._warehouse = warehouse
        self._cnpj = cnpj

    def place(self, kept: KeptColumns | KeptRows) -> str:
        """Return the table as people know it."""
        is_own = isinstance(kept, KeptColumns)
        return f"{f'{self._cnpj}_CAMPAIGN' if is_own else OPS_DATASET}.{kept.table}"

    def count(self, kept: KeptColumns | KeptRows, before: datetime) -> int:
        """Return the number of rows with something that is too old."""
        statement = _COUNT.format(path=self._path(kept), condition=self._condition(kept, before))
        [row] = self._warehouse.query(statement, doing=f"counting old rows of {self.place(kept)}")
        found: int = row["found"]
        return found

    def remove(self, kept: KeptColumns | KeptRows, before: datetime) -> None:
        """Remove what is too old."""
        condition = self._condition(kept, before)
        if isinstance(kept, KeptColumns):
            values = ", ".join(f"{column} = null" for column in kept.columns)
            statement = _CLEAR.format(path=self._path(kept), values=values, condition=condition)
        else:
            statement = _DELETE.format(path=self._path(kept), condition=condition)
        self._warehouse.query(statement, doing=f"removing old rows of {self.place(kept)}")

    def _path(self, kept: KeptColumns | KeptRows) -> str:
        dataset, table = self.place(kept).split(".")
        return f"`{dataset}`.`{table}`"

    def _condition(self, kept: KeptColumns | KeptRows, before: datetime) -> str:
        # The bare column and a constant, so that newer partitions are not read.
        condition = f"{kept.instant} < {timestamp(before)}"
        if isinstance(kept, KeptColumns):
            return f"{condition} and ({_any_value(kept.columns)})"
        return condition if kept.is_shared else f"cnpj = '{self._cnpj}' and {condition}"


def _any_value(columns: Sequence[str]) -> str:
    return " or ".join(f"{column} is not null" for column in columns)
