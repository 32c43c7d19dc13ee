"""Checks of datasets and tables, and of this account's permissions, also on documents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError
from loader.bigquery.declaration import OPS_DATASET
from loader.bigquery.literals import timestamp
from loader.bigquery.warehouse_probe import Layout
from loader.operations.check.checklist import Finding

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.declaration import SourceTable
    from loader.bigquery.warehouse_probe import WarehouseProbe
    from loader.firestore.firestore_probe import FirestoreProbe
    from loader.operations.check.checklist import Check, Checklist

__all__ = ["BIGQUERY", "FIRESTORE", "TableChecks", "check_documents"]

BIGQUERY, FIRESTORE = "BigQuery", "Firestore"

_RAW_FIX = "models/sources/ declares what is needed; the point-of-sale export is to deliver it"


def check_documents(checklist: Checklist, probe: FirestoreProbe) -> None:
    """Check that documents can be written, read and deleted."""

    def attempt() -> Finding:
        probe.try_document()
        return Finding("written, read and deleted")

    checklist.add("scratch document", probe.scratch_path, attempt, service=FIRESTORE)


@dataclass(frozen=True)
class TableChecks:
    """The checks of one laundromat's datasets and tables."""

    checklist: Checklist
    own: WarehouseProbe
    """Acts for the laundromat."""
    shared: WarehouseProbe
    """Acts for the process, which records in VMHUB_OPS."""
    cnpj: Cnpj
    location: str
    """Where queries run; they do not find a dataset elsewhere."""
    as_of: datetime

    def datasets(self) -> dict[str, Check]:
        """Check that the datasets exist; return the checks by dataset."""
        names = (f"{self.cnpj}_RAW", f"{self.cnpj}_CAMPAIGN", OPS_DATASET)
        return {name: self._add("dataset", name, partial(self._dataset, name)) for name in names}

    def columns(self, table: SourceTable, dataset: Check) -> Check:
        """Check that a table exists, with the declared columns and types."""
        return self._add("columns", _name(table, self.cnpj), lambda: self._columns(table), dataset)

    def layout(self, table: SourceTable, columns: Check) -> None:
        """Check a table's partitioning and clustering, if declared."""
        if table.partition_by or table.cluster_by:
            self._add("layout", _name(table, self.cnpj), lambda: self._layout(table), columns)

    def query(self) -> None:
        """Check that queries can be run."""

        def attempt() -> Finding:
            self.own.query("select 1 as one", doing="running a query")
            return Finding("runs")

        self._add("query", BIGQUERY, attempt)

    def scratch_table(self, dataset: Check) -> None:
        """Check that tables can be created, filled, read as sync reads them, and dropped."""

        def attempt() -> Finding:
            self.own.try_scratch_table(dataset.about)
            return Finding("created, filled, read and dropped")

        self._add("scratch table", dataset.about, attempt, dataset)

    def reading(self, table: SourceTable, columns: Check) -> None:
        """Check that a row of a table can be read."""
        name = _name(table, self.cnpj)
        column = table.partition_by
        since = self.as_of - timedelta(days=2)
        condition = f"where {column} >= {timestamp(since)}" if column else ""
        sql = (
            f"select 1 as one from (select {table.columns[0].name} from "  # noqa: S608 # nosec B608 # declared
            f"`{table.dataset(self.cnpj)}`.`{table.name}` {condition} limit 1)"
        )

        def attempt() -> Finding:
            self.own.query(sql, doing=f"reading {name}")
            return Finding("can be read")

        self._add("reading", name, attempt, columns)

    def recording(self, table: SourceTable, columns: Check) -> None:
        """Check that runs can be recorded in a table of VMHUB_OPS."""

        def attempt() -> Finding:
            self.shared.try_streaming(table)
            return Finding("takes rows")

        self._add("recording", _name(table, self.cnpj), attempt, columns)

    def _add(self, name: str, about: str, attempt: Callable[[], Finding], *needs: Check) -> Check:
        return self.checklist.add(name, about, attempt, service=BIGQUERY, needs=needs)

    def _warehouse(self, dataset: str) -> WarehouseProbe:
        return self.shared if dataset == OPS_DATASET else self.own

    def _dataset(self, name: str) -> Finding:
        location = self._warehouse(name).location(name)
        if location is None:
            message = "there is no such dataset"
            raise ConfigurationError(message, hint=self._owner_hint(name))
        if location.upper() != self.location.upper():
            message = f"it is in {location}, and queries run in {self.location}"
            raise ConfigurationError(
                message, hint=f"set VMHUB_BIGQUERY_LOCATION={location}, or move the dataset"
            )
        return Finding(f"in {location}")

    def _columns(self, table: SourceTable) -> Finding:
        warehouse = self._warehouse(table.dataset(self.cnpj))
        problems = warehouse.schema_problems(table, self.cnpj)
        if problems:
            hint = self._owner_hint(table.dataset(self.cnpj))
            if any(" instead of " in problem for problem in problems) and not _is_raw(table):
                hint += "; recreate a column of another type by hand"
            raise ConfigurationError("; ".join(problems), hint=hint)
        return Finding(f"{len(table.columns)} columns as declared")

    def _layout(self, table: SourceTable) -> Finding:
        warehouse = self._warehouse(table.dataset(self.cnpj))
        wanted, found = Layout.declared(table), warehouse.layout(table, self.cnpj)
        if _same(wanted, found):
            return Finding(str(found))
        message = f"{found}, instead of {wanted}"
        if _is_raw(table):
            # RAW belongs to others, and works as it is.
            return Finding(
                message,
                "queries read, and bill, more of it than they need: ask for the point-of-sale "
                f"export to write it {wanted}",
            )
        raise ConfigurationError(
            message,
            hint="copy its rows into a new table with that layout, and rename it: "
            "`vmhub onboard` creates a missing table with the right layout",
        )

    def _owner_hint(self, dataset: str) -> str:
        if dataset.endswith("_RAW"):
            return _RAW_FIX
        return f'run `vmhub onboard --cnpj {self.cnpj} --name "…"`, which adds what is missing'


def _name(table: SourceTable, cnpj: Cnpj) -> str:
    return f"{table.dataset(cnpj)}.{table.name}"


def _is_raw(table: SourceTable) -> bool:
    return table.dataset_suffix == "RAW"


def _same(wanted: Layout, found: Layout) -> bool:
    """Compare two layouts; BigQuery ignores the case of column names."""
    return (
        (wanted.partition_by or "").lower() == (found.partition_by or "").lower()
        and wanted.partition_unit == found.partition_unit
        and [name.lower() for name in wanted.cluster_by]
        == [name.lower() for name in found.cluster_by]
    )
