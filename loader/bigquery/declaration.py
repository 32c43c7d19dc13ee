"""A table as models/sources/ declares it, and the one dataset that all laundromats share."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OPS_DATASET", "OPS_DESCRIPTION", "Column", "SourceTable"]

OPS_DATASET = "VMHUB_OPS"
OPS_DESCRIPTION = "Records of vmhub's runs for all laundromats; written by vmhub."


@dataclass(frozen=True)
class Column:
    """A declared column; ``data_type`` is a GoogleSQL type, such as INT64."""

    name: str
    data_type: str
    description: str


@dataclass(frozen=True)
class SourceTable:
    """A declared table; ``dataset_suffix`` is RAW, CAMPAIGN or OPS."""

    dataset_suffix: str
    name: str
    description: str
    columns: tuple[Column, ...]
    partition_by: str | None
    cluster_by: tuple[str, ...]

    def dataset(self, cnpj: str) -> str:
        """Return the id of the dataset that holds this table for a CNPJ."""
        return OPS_DATASET if self.is_shared else f"{cnpj}_{self.dataset_suffix}"

    @property
    def is_shared(self) -> bool:
        """Whether all laundromats share the table."""
        return self.dataset_suffix == "OPS"
