"""The specification of a build: laundromat, settings, instant and tables."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from loader.base.cnpj import Cnpj

__all__ = ["BuildSpec", "Side"]


class Side(Enum):
    """A set of a laundromat's tables; the value of the dbt var ``preview``."""

    LIVE = ""
    """{CNPJ}_CAMPAIGN: the tables that are synced."""
    PREVIEW = "preview"
    """{CNPJ}_PREVIEW."""
    BASELINE = "baseline"
    """{CNPJ}_PREVIEW, with other table names: the baseline of a preview."""

    @property
    def dataset_suffix(self) -> str:
        """Return the last part of the dataset's name; like macros/dbt/generate_schema_name."""
        return "CAMPAIGN" if self is Side.LIVE else "PREVIEW"

    @property
    def table_suffix(self) -> str:
        """Return the last part of the tables' names; like macros/dbt/generate_alias_name."""
        return "__baseline" if self is Side.BASELINE else ""


@dataclass(frozen=True)
class BuildSpec:
    """One build, planned or past."""

    settings: dict[str, Any]
    """dbt vars with ``cnpj``; from `loader.dbt.settings`."""
    as_of: datetime
    side: Side = Side.LIVE

    @property
    def cnpj(self) -> Cnpj:
        """Return the laundromat."""
        cnpj: Cnpj = self.settings["cnpj"]
        return cnpj

    @property
    def dataset(self) -> str:
        """Return the dataset that the tables are built in."""
        return f"{self.cnpj}_{self.side.dataset_suffix}"

    @property
    def variables(self) -> dict[str, Any]:
        """Return the vars for dbt."""
        return {**self.settings, "as_of": self.as_of.isoformat(), "preview": self.side.value}

    def table(self, model: str) -> str:
        """Return a model's table as ``{CNPJ}_CAMPAIGN.model``."""
        return f"{self.dataset}.{model}{self.side.table_suffix}"
