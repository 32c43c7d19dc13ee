"""All checks of one laundromat, in the order in which a person would fix things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loader.bigquery.declaration import OPS_DATASET
from loader.dbt.settings import effective_settings
from loader.dbt.spec import BuildSpec
from loader.firestore.firestore_probe import FirestoreProbe
from loader.operations.check.checklist import Checklist, CheckReport, Finding
from loader.operations.check.quality import check_quality
from loader.operations.check.rows import RowChecks
from loader.operations.check.sending import check_templates
from loader.operations.check.tables import FIRESTORE, TableChecks, check_documents

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse_probe import WarehouseProbe
    from loader.dbt.project import Project
    from loader.dbt.runner import Dbt
    from loader.firestore.client import Database
    from loader.firestore.registry import Registry, RegistryEntry
    from loader.operations.check.checklist import Check
    from loader.operations.check.sending import ComparedText

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
    compare_templates: Callable[[Cnpj], Sequence[ComparedText] | None],
) -> CheckReport:
    """Check whether a laundromat can be served; the report holds every error.

    It leaves nothing behind, and names no customer.

    Args:
        project: Declares the tables, the campaigns and the settings.
        warehouse: BigQuery. What belongs to the laundromat is checked with the credentials with
            which it is served (`Warehouse.acting_for`).
        database: Firestore.
        registry: The same database's registry.
        dbt: Resolves the project's macros.
        cnpj: The laundromat; it need not be registered.
        location: Where BigQuery runs queries.
        as_of: The instant from which ages are measured.
        raw_max_age: The newest sale may be this old without a warning.
        compare_templates: Compares the seed's texts with the laundromat's WhatsApp account; returns
            None if `vmhub send` does not send for it.

    """
    checklist = Checklist()
    registered, types, settings, full_at = _check_registry(checklist, project, registry, cnpj)
    probe = FirestoreProbe(database, cnpj)
    check_documents(checklist, probe)
    own = warehouse.acting_for(cnpj)
    tables = TableChecks(checklist, own, warehouse, cnpj, location, as_of)
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
    rows = RowChecks(checklist, own, probe, cnpj, as_of)
    rows.newest_sale(columns["vendas"], raw_max_age)
    rows.newest_registration(columns["clientes"])
    spec = BuildSpec(settings, as_of)
    check_quality(checklist, own, dbt, spec, columns)
    rows.last_build(campaign_dataset)
    rows.sender(types, columns["message_history"], full_at)
    check_templates(checklist, cnpj, compare_templates, [registered])
    return CheckReport(cnpj, as_of, tuple(checklist.checks))


def _check_registry(
    checklist: Checklist, project: Project, registry: Registry, cnpj: Cnpj
) -> tuple[Check, frozenset[str], dict[str, Any], datetime | None]:
    """Check the registry entry and settings.

    Returns:
        The check of the entry, the known campaigns, valid settings, and up to when all documents
        are tracked.

    """
    entries: list[RegistryEntry] = []
    # The defaults, if its own settings cannot be used.
    usable: dict[str, Any] = {"cnpj": cnpj}
    place = f"users/{cnpj}"

    def entry() -> Finding:
        entries.append(registry.entry(cnpj))
        return Finding("registered and active")

    def settings() -> Finding:
        [found] = entries
        usable.update(effective_settings(project, found))
        own = len(found.settings)
        return Finding(f"{own} of its own, the others as in dbt_project.yml")

    registered = checklist.add("registry", place, entry, service=FIRESTORE)
    checklist.add("settings", place, settings, service=FIRESTORE, needs=[registered])
    known = frozenset(project.campaign_types())
    known = known.union(*(found.campaign_types for found in entries))
    full_at = entries[0].watermark.full_at if entries else None
    return registered, known, usable, full_at
