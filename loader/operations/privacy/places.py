"""The tables of the inventory that a laundromat has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.bigquery.declaration import OPS_DATASET
from loader.bigquery.people import TablePlace
from loader.dbt.spec import Side
from loader.operations.privacy.inventory import PERSON_TABLES, Erasure, PersonTable

if TYPE_CHECKING:
    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse

__all__ = ["KnownPlace", "known_places"]

# dbt builds an incremental model into such a table first.
_TEMPORARY = "__dbt_tmp"


@dataclass(frozen=True)
class KnownPlace:
    """A table that exists, with its entry in the inventory."""

    declared: PersonTable
    place: TablePlace

    @property
    def is_deleted(self) -> bool:
        """Whether a person's rows are deleted; previews are no record, so theirs are, too."""
        is_preview = self.place.dataset.endswith(f"_{Side.PREVIEW.dataset_suffix}")
        return is_preview or self.declared.erasure is Erasure.DELETED


def known_places(warehouse: Warehouse, cnpj: Cnpj) -> list[KnownPlace]:
    """Return a laundromat's tables with rows about people, without RAW; by free requests."""
    found = []
    by_name = {table.name: table for table in PERSON_TABLES if table.dataset_suffix == "CAMPAIGN"}
    for side in (Side.LIVE, Side.PREVIEW):
        dataset = f"{cnpj}_{side.dataset_suffix}"
        for name in sorted(warehouse.tables(dataset)):
            model = name.removesuffix(Side.BASELINE.table_suffix)
            declared = by_name.get(model.removesuffix(_TEMPORARY))
            if declared is not None:
                found.append(KnownPlace(declared, _place(declared, dataset, name)))
    shared = warehouse.tables(OPS_DATASET)
    found += [
        KnownPlace(declared, _place(declared, OPS_DATASET, declared.name))
        for declared in PERSON_TABLES
        if declared.dataset_suffix == "OPS" and declared.name in shared
    ]
    return found


def _place(declared: PersonTable, dataset: str, name: str) -> TablePlace:
    return TablePlace(
        dataset,
        name,
        declared.person_column,
        declared.cleared,
        declared.key,
        declared.partition_by,
        is_streamed=declared.dataset_suffix == "OPS",
    )
