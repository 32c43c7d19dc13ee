"""What is built: for which laundromat, with which settings, as of when, into which tables."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from loader.base.cnpj import Cnpj

__all__ = ["BuildSpec", "Side"]


class Side(Enum):
    """Which set of a laundromat's tables; the value of the dbt var ``preview``."""

    LIVE = ""
    """{CNPJ}_CAMPAIGN: what is synced."""
    PREVIEW = "preview"
    """{CNPJ}_PREVIEW."""
    BASELINE = "baseline"
    """{CNPJ}_PREVIEW, with names of their own: what a preview is compared with."""

    @property
    def dataset_suffix(self) -> str:
        """Return the last part of the dataset's name; as macros/dbt/generate_schema_name does."""
        return "CAMPAIGN" if self is Side.LIVE else "PREVIEW"

    @property
    def table_suffix(self) -> str:
        """Return the last part of the tables' names; as macros/dbt/generate_alias_name does."""
        return "__baseline" if self is Side.BASELINE else ""


@dataclass(frozen=True)
class BuildSpec:
    """One build, or one that took place."""

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
        """Return the vars that dbt is given."""
        return {**self.settings, "as_of": self.as_of.isoformat(), "preview": self.side.value}

    def table(self, model: str) -> str:
        """Return a model's table as ``{CNPJ}_CAMPAIGN.model``."""
        return f"{self.dataset}.{model}{self.side.table_suffix}"
