"""What `vmhub check` asks BigQuery: how a table is laid out, and trials that leave no trace."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions as google_errors
from google.api_core.retry import Retry
from google.cloud import bigquery

from loader.base.errors import ServiceError
from loader.bigquery.snapshot import Snapshot
from loader.bigquery.warehouse import SCRATCH_PREFIX, Warehouse

if TYPE_CHECKING:
    from loader.base.cnpj import Cnpj
    from loader.bigquery.declaration import SourceTable

__all__ = ["Layout", "WarehouseProbe"]

_SCRATCH_LIFE = timedelta(hours=1)
_RETRY = Retry(initial=0.2, maximum=2.0, timeout=15.0)
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Layout:
    """How a table's rows are laid out."""

    partition_by: str | None
    """The column; None: not partitioned by a column."""
    partition_unit: str | None
    """DAY, HOUR, MONTH or YEAR."""
    cluster_by: tuple[str, ...]

    def __str__(self) -> str:
        """Return it as one phrase."""
        unit = (self.partition_unit or "").lower()
        parts = f"partitioned by {unit} of {self.partition_by}" if self.partition_by else ""
        clusters = f"clustered by {', '.join(self.cluster_by)}" if self.cluster_by else ""
        return ", ".join(filter(None, (parts, clusters))) or "neither partitioned nor clustered"

    @classmethod
    def declared(cls, table: SourceTable) -> Layout:
        """Return the layout that models/sources/ declares; TIMESTAMPs are partitioned by day."""
        return cls(table.partition_by, "DAY" if table.partition_by else None, table.cluster_by)


class WarehouseProbe(Warehouse):
    """A warehouse with trials of its permissions."""

    def location(self, dataset: str) -> str | None:
        """Return where a dataset is, such as US; None: there is no such dataset."""
        with self._service_errors(f"looking for dataset {dataset}"):
            try:
                found = self._client.get_dataset(
                    f"{self._project}.{dataset}", retry=_RETRY, timeout=_TIMEOUT_SECONDS
                )
            except google_errors.NotFound:
                return None
        return str(found.location)

    def layout(self, declared: SourceTable, cnpj: Cnpj) -> Layout:
        """Return the layout of an existing table."""
        name = f"{declared.dataset(cnpj)}.{declared.name}"
        with self._service_errors(f"looking at table {name}"):
            table = self._client.get_table(
                f"{self._project}.{name}", retry=_RETRY, timeout=_TIMEOUT_SECONDS
            )
        partitioning: Any = table.time_partitioning
        return Layout(
            partitioning.field if partitioning else None,
            partitioning.type_ if partitioning else None,
            tuple(table.clustering_fields or ()),
        )

    def try_scratch_table(self, dataset: str) -> None:
        """Create a table, write a row as dbt does, read it as sync does, and drop the table.

        The table has a unique name and expires. So a killed check leaves nothing for long, and two
        checks at the same time do not collide. bqemulator 1.4.0 has no expiration.
        """
        name = f"{SCRATCH_PREFIX}{uuid.uuid4().hex}"
        scratch = bigquery.Table(
            f"{self._project}.{dataset}.{name}", schema=[bigquery.SchemaField("number", "INT64")]
        )
        scratch.expires = datetime.now(UTC) + _SCRATCH_LIFE
        with self._service_errors(f"creating a scratch table in {dataset}"):
            self._client.create_table(scratch, retry=_RETRY, timeout=_TIMEOUT_SECONDS)
        try:
            self.query(
                f"insert into `{dataset}`.`{name}` (number) values (7)",  # noqa: S608 # nosec B608 # ours
                doing=f"writing into a scratch table in {dataset}",
            )
            with self._service_errors(f"reading {dataset} with the Storage Read API"):
                snapshot = Snapshot(self._reader, self._project, dataset, name, "number")
                rows = [
                    value
                    for batch in snapshot.batches()
                    for value in batch.column("number").to_pylist()
                ]
        finally:
            with self._service_errors(f"dropping a scratch table in {dataset}"):
                self._client.delete_table(
                    scratch, retry=_RETRY, timeout=_TIMEOUT_SECONDS, not_found_ok=True
                )
        if rows != [7]:
            message = f"a scratch table in {dataset} returned {len(rows)} rows that differ"
            raise ServiceError(message)

    def try_streaming(self, declared: SourceTable) -> None:
        """Stream a row that BigQuery must refuse; this tests the permission to stream.

        Without the permission the call fails with 403. With it, `insertErrors` says that the row is
        invalid, since its partition column does not hold an instant, and nothing is stored
        (https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll).
        `tables.testIamPermissions` may "fail open" by its own documentation, and bqemulator 1.4.0
        does not have that endpoint. It has this one, and refuses the row, too, but only when asked
        to skip invalid rows.
        """
        name = f"{declared.dataset('')}.{declared.name}"
        refused = {str(declared.partition_by): "no instant"}
        with self._service_errors(f"recording in {name}"):
            self._client.insert_rows_json(
                f"{self._project}.{name}",
                [refused],
                row_ids=[uuid.uuid4().hex],
                skip_invalid_rows=True,
                retry=_RETRY,
                timeout=_TIMEOUT_SECONDS,
            )
