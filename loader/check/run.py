"""All checks of one laundromat, in the order in which a person would mend things."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loader.check.checklist import Checklist, CheckReport, Finding
from loader.check.rows import RowChecks
from loader.check.tables import FIRESTORE, TableChecks, check_documents
from loader.firestore.probe import FirestoreProbe
from loader.project import OPS_DATASET
from loader.settings import campaign_types, effective_settings

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from loader.check.bigquery import WarehouseProbe
    from loader.cnpj import Cnpj
    from loader.dbt import Dbt
    from loader.firestore.client import Database
    from loader.firestore.registry import Registry, Tenant
    from loader.project import Project

__all__ = ["check"]


def check(
    project: Project,
    warehouse: WarehouseProbe,
    database: Database,
    registry: Registry,
    dbt: Dbt,
    *,
    cnpj: Cnpj,
    location: str,
    as_of: datetime,
    raw_max_age: timedelta,
) -> CheckReport:
    """Check whether a laundromat can be served. What goes wrong is in the report.

    Leaves nothing behind, and names no customer.

    Args:
        project: Declares the tables, the campaigns and the settings.
        warehouse: BigQuery.
        database: Firestore.
        registry: The same database's registry.
        dbt: Resolves the project's macros.
        cnpj: The laundromat; it need not be registered.
        location: Where BigQuery runs queries.
        as_of: The instant against which ages are measured.
        raw_max_age: Age of the newest sale from which on it is a warning.

    """
    checklist = Checklist()
    types = _check_registry(checklist, project, registry, cnpj)
    probe = FirestoreProbe(database, cnpj)
    check_documents(checklist, probe)
    tables = TableChecks(checklist, warehouse, cnpj, location, as_of)
    datasets = tables.datasets()
    declared = {table.name: table for table in project.source_tables()}
    columns = {
        name: tables.columns(table, datasets[table.dataset(cnpj)])
        for name, table in declared.items()
    }
    for name, table in declared.items():
        tables.layout(table, columns[name])
    tables.query()
    campaign_dataset = datasets[f"{cnpj}_CAMPAIGN"]
    tables.scratch_table(campaign_dataset)
    for name, table in declared.items():
        if table.dataset_suffix == "RAW":
            tables.reading(table, columns[name])
    for name, table in declared.items():
        if table.dataset(cnpj) == OPS_DATASET:
            tables.recording(table, columns[name])
    rows = RowChecks(checklist, warehouse, probe, cnpj, as_of)
    rows.newest_sale(columns["vendas"], raw_max_age)
    rows.newest_registration(columns["clientes"])
    rows.quality(columns["clientes"], dbt)
    rows.last_build(campaign_dataset)
    rows.sender(types, columns["message_history"])
    return CheckReport(cnpj, as_of, tuple(checklist.checks))


def _check_registry(
    checklist: Checklist, project: Project, registry: Registry, cnpj: Cnpj
) -> frozenset[str]:
    """Check the registry's entry and settings; return the campaigns there are, as far as known."""
    tenants: list[Tenant] = []
    place = f"users/{cnpj}"

    def entry() -> Finding:
        tenants.append(registry.tenant(cnpj))
        return Finding("registered and active")

    def settings() -> Finding:
        [tenant] = tenants
        effective_settings(project, tenant)
        own = len(tenant.settings)
        return Finding(f"{own} of its own, the others as in dbt_project.yml")

    registered = checklist.add("registry", place, entry, service=FIRESTORE)
    checklist.add("settings", place, settings, service=FIRESTORE, needs=[registered])
    known = frozenset(campaign_types(project))
    return known.union(*(tenant.campaign_types for tenant in tenants))
