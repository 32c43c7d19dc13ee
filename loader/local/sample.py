"""The sample laundromats of seeds/sample/, and how to load them into a local stack."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from loader.base.cnpj import Cnpj, parse_cnpj
from loader.operations.onboard import onboard

if TYPE_CHECKING:
    from pathlib import Path

    from loader.bigquery.audit import AuditLog
    from loader.bigquery.warehouse import Warehouse
    from loader.dbt.project import Project
    from loader.firestore.registry import Registry

__all__ = ["SAMPLE_AS_OF", "SampleLaundromat", "load_sample", "sample_laundromats"]

SAMPLE_AS_OF = datetime(2026, 11, 23, 13, tzinfo=UTC)
"""The instant for which the sample rows are made: a Monday, 10:00 in São Paulo."""


@dataclass(frozen=True)
class SampleLaundromat:
    """A sample laundromat."""

    cnpj: Cnpj
    name: str
    timezone: str


def sample_laundromats(project: Project) -> tuple[SampleLaundromat, ...]:
    """Return the sample laundromats in file order."""
    return tuple(
        SampleLaundromat(parse_cnpj(row["cnpj"] or ""), row["name"] or "", row["timezone"] or "")
        for row in _read(project.root / "seeds" / "sample" / "laundromats.csv")
    )


def load_sample(
    project: Project,
    warehouse: Warehouse,
    registry: Registry,
    laundromat: SampleLaundromat,
    audit: AuditLog,
) -> dict[str, int]:
    """Create a sample laundromat with its rows; return the rows per table.

    It creates the RAW dataset, too: the demo has no point-of-sale export.
    """
    cnpj = laundromat.cnpj
    warehouse.create_dataset(f"{cnpj}_RAW", description="Sample rows of an invented laundromat.")
    for table in project.tenant_tables():
        if table.dataset_suffix == "RAW":
            warehouse.create_table(table, cnpj)
    onboard(
        project,
        warehouse,
        registry,
        cnpj=cnpj,
        name=laundromat.name,
        timezone=laundromat.timezone,
        audit=audit,
    )
    loaded = {}
    for table in project.tenant_tables():
        rows = [
            {name: value for name, value in row.items() if name != "cnpj"}
            for row in _read(project.root / "seeds" / "sample" / f"{table.name}.csv")
            if row["cnpj"] == cnpj
        ]
        loaded[table.name] = warehouse.append(table, cnpj, rows)
    return loaded


def _read(path: Path) -> list[dict[str, Any]]:
    """Return a CSV file's rows, an empty cell as None."""
    with path.open(encoding="utf-8", newline="") as lines:
        return [
            {name: value or None for name, value in row.items()} for row in csv.DictReader(lines)
        ]
