"""Onboarding a laundromat: its datasets, its tables and its registry documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.bigquery.audit import AuditAction, AuditEntry
from loader.bigquery.declaration import OPS_DATASET, OPS_DESCRIPTION
from loader.bigquery.secret_keys import ensure_keys
from loader.dbt.settings import check_timezone

if TYPE_CHECKING:
    from loader.base.cnpj import Cnpj
    from loader.bigquery.audit import AuditLog
    from loader.bigquery.warehouse import Warehouse
    from loader.dbt.project import Project
    from loader.firestore.registry import Registry

__all__ = ["OnboardReport", "onboard"]


@dataclass(frozen=True)
class OnboardReport:
    """What was done, and what is still missing from others."""

    cnpj: Cnpj
    is_new: bool
    created_tables: tuple[str, ...]
    raw_problems: tuple[str, ...]
    """What is missing in the RAW dataset; a build does not start without it."""


def onboard(
    project: Project,
    warehouse: Warehouse,
    registry: Registry,
    *,
    cnpj: Cnpj,
    name: str,
    timezone: str | None = None,
    audit: AuditLog,
) -> OnboardReport:
    """Create what a laundromat needs; safe to repeat, also after an incomplete try.

    The registry comes last, so a laundromat is never served before its tables exist.

    Args:
        project: Declares the tables and the campaigns.
        warehouse: Where the tables are created.
        registry: Where the laundromat is registered.
        cnpj: The laundromat.
        name: Its name, as its owner sees it.
        timezone: IANA name; None keeps what is registered, or the project's default.
        audit: Takes the change of the registry before anything of the laundromat is created.

    Raises:
        ConfigurationError: The time zone is unknown; nothing was created.
        ServiceError: A service does not answer.

    """
    if timezone is not None:
        check_timezone(timezone, "--timezone: the laundromat")
    warehouse.create_dataset(OPS_DATASET, description=OPS_DESCRIPTION)
    created = [
        f"{OPS_DATASET}.{table.name}"
        for table in project.ops_tables().values()
        if warehouse.create_table(table)
    ]
    known = registry.registration(cnpj)
    wanted = known.changed(name, timezone, project.campaign_types())
    audit.record(
        [AuditEntry(AuditAction.CHANGE, "registry", cnpj, known.as_json(), wanted.as_json())],
    )
    warehouse.create_dataset(
        f"{cnpj}_CAMPAIGN", description=f"VMHub campaigns of CNPJ {cnpj}, written by vmhub and dbt."
    )
    created += [
        f"{table.dataset(cnpj)}.{table.name}"
        for table in project.owned_tables()
        if warehouse.create_table(table, cnpj)
    ]
    ensure_keys(warehouse, cnpj)
    raw_problems = [
        problem
        for table in project.source_tables()
        if table.dataset_suffix == "RAW"
        for problem in warehouse.schema_problems(table, cnpj)
    ]
    is_new = registry.register(
        cnpj, name=name, timezone=timezone, campaign_types=project.campaign_types()
    )
    return OnboardReport(cnpj, is_new, tuple(created), tuple(raw_problems))
