"""The BigQuery edge: datasets, tables, and what sync and explain read of them."""

from __future__ import annotations

import io
import json
import uuid
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from google.api_core import exceptions as google_errors
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from loader.base.errors import ConfigurationError, ServiceError
from loader.bigquery.clients import clients
from loader.bigquery.declaration import OPS_DATASET, OPS_DESCRIPTION
from loader.bigquery.service_errors import service_errors
from loader.bigquery.snapshot import Snapshot, TargetRows
from loader.sync.model import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from loader.base.cnpj import Cnpj
    from loader.base.environment import Environment
    from loader.bigquery.declaration import Column, SourceTable

__all__ = ["ROWS_A_REQUEST", "SCRATCH_PREFIX", "TIME_TRAVEL", "Warehouse"]

TIME_TRAVEL = timedelta(hours=48)
"""For how long our datasets show rows that were deleted or changed; BigQuery's shortest."""

SCRATCH_PREFIX = "vmhub_scratch_"
"""Prefix of the names of short-lived tables."""
_SCRATCH_LIFE = timedelta(hours=1)

ROWS_A_REQUEST = 500
"""Rows per streaming request."""

_RETRY = Retry(initial=0.2, maximum=5.0, timeout=20.0)
# Knows that BigQuery answers a rate limit with 403, like a missing permission.
_LOOK_UP_RETRY = bigquery.DEFAULT_RETRY.with_timeout(20.0)
# A new table accepts streamed rows only after some seconds.
_NEW_TABLE_RETRY = Retry(
    predicate=if_exception_type(google_errors.NotFound), initial=0.5, maximum=5.0, timeout=30.0
)
_TIMEOUT_SECONDS = 10.0

# The older names that BigQuery's REST API uses for GoogleSQL types.
_GOOGLE_SQL_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}


class Warehouse:
    """The datasets of a project, as far as the loader needs them."""

    def __init__(self, environment: Environment, account: str | None = None) -> None:
        """Connect; nothing is sent yet.

        Args:
            environment: Where BigQuery is.
            account: The service account to act as; None: the process's own credentials.

        Raises:
            ConfigurationError: There are no credentials for the real service.

        """
        self.queries = 0
        """Number of queries that `query` has run."""
        self.bytes_billed = 0
        """Bytes that BigQuery billed for these queries."""
        self._environment = environment
        self._other: tuple[str, Self] | None = None
        self._project = environment.project
        self._location = environment.location
        self._address = (
            f"the BigQuery emulator at {environment.bigquery_url}"
            if environment.bigquery_url
            else "BigQuery"
        )
        try:
            self._client, self._reader = clients(environment, account)
        except GoogleAuthError as error:
            message = "no credentials for BigQuery"
            raise ConfigurationError(
                message,
                hint="run `gcloud auth application-default login`, or give the service account "
                "the roles bigquery.dataEditor, bigquery.jobUser and bigquery.readSessionUser",
            ) from error

    def acting_for(self, cnpj: Cnpj) -> Self:
        """Return the warehouse for a laundromat's own datasets, with the credentials for them.

        It is this one, unless the environment names service accounts.
        """
        account = self._environment.account(cnpj)
        if account is None:
            return self
        # Keep only the last one: thousands of laundromats are served, one after another.
        if self._other is None or self._other[0] != account:
            self._other = (account, type(self)(self._environment, account))
        return self._other[1]

    def create_dataset(
        self, dataset: str, *, description: str, tables_expire_after: timedelta | None = None
    ) -> bool:
        """Create a dataset if it does not exist; return whether it is new.

        Either way it shows its own past for `TIME_TRAVEL` only, since that has erased rows, too.
        New tables in it are encrypted with the key of the environment, if there is one.
        """
        hours = TIME_TRAVEL // timedelta(hours=1)
        key = self._environment.kms_key
        encryption = bigquery.EncryptionConfiguration(key) if key else None
        reference = bigquery.Dataset(f"{self._project}.{dataset}")
        reference.location = self._location
        reference.description = description
        reference.max_time_travel_hours = hours
        if encryption is not None:
            reference.default_encryption_configuration = encryption
        if tables_expire_after is not None:
            milliseconds = tables_expire_after // timedelta(milliseconds=1)
            reference.default_table_expiration_ms = milliseconds
        with self._service_errors(f"creating dataset {dataset}"):
            try:
                self._client.create_dataset(reference, retry=_RETRY)
            except google_errors.Conflict:
                known = self._client.get_dataset(reference.reference, retry=_RETRY)
                changes = []
                # It comes as a text. bqemulator 1.4.0 does not change it.
                if int(known.max_time_travel_hours or 0) != hours:
                    known.max_time_travel_hours = hours
                    changes.append("max_time_travel_hours")
                if encryption is not None and known.default_encryption_configuration != encryption:
                    known.default_encryption_configuration = encryption
                    changes.append("default_encryption_configuration")
                if changes:
                    self._client.update_dataset(known, changes, retry=_RETRY)
                return False
        return True

    def create_table(self, declared: SourceTable, cnpj: str = "") -> bool:
        """Create a declared table, or add the columns it lacks; return whether it is new.

        Rows and extra columns stay as they are. A table that all laundromats share needs no CNPJ.
        """
        name = f"{self._project}.{declared.dataset(cnpj)}.{declared.name}"
        wanted = bigquery.Table(name, schema=[_schema_field(column) for column in declared.columns])
        wanted.description = declared.description
        if declared.partition_by:
            wanted.time_partitioning = bigquery.TimePartitioning(field=declared.partition_by)
        if declared.cluster_by:
            wanted.clustering_fields = list(declared.cluster_by)
        with self._service_errors(f"creating table {name}"):
            try:
                self._client.create_table(wanted, retry=_RETRY)
            except google_errors.Conflict:
                table = self._client.get_table(name, retry=_RETRY)
                known = {field.name.lower() for field in table.schema}
                missing = [field for field in wanted.schema if field.name.lower() not in known]
                if missing:
                    table.schema = [*table.schema, *missing]
                    self._client.update_table(table, ["schema"], retry=_RETRY)
                return False
        return True

    def create_function(self, dataset: str, name: str, *, body: str, description: str) -> bool:
        """Create a SQL function without arguments that returns a STRING; return whether it is new.

        One that exists stays as it is.
        """
        path = f"{self._project}.{dataset}.{name}"
        routine = bigquery.Routine(
            path,
            type_="SCALAR_FUNCTION",
            language="SQL",
            body=body,
            description=description,
            return_type=bigquery.StandardSqlDataType(
                type_kind=bigquery.StandardSqlTypeNames.STRING
            ),
        )
        with self._service_errors(f"creating function {path}"):
            try:
                self._client.get_routine(path, retry=_RETRY)
            except google_errors.NotFound:
                with suppress(google_errors.Conflict):
                    self._client.create_routine(routine, retry=_RETRY)
                    return True
        return False

    def schema_problems(self, declared: SourceTable, cnpj: Cnpj) -> list[str]:
        """Return how a table differs from its declaration, one phrase each; empty if it is fine.

        Extra columns are not a problem.
        """
        name = f"{declared.dataset(cnpj)}.{declared.name}"
        with self._service_errors(f"looking at table {name}"):
            try:
                table = self._client.get_table(f"{self._project}.{name}", retry=_RETRY)
            except google_errors.NotFound:
                return [f"table {name} is missing"]
        types_found = {
            field.name.lower(): _GOOGLE_SQL_TYPES.get(field.field_type, field.field_type)
            for field in table.schema
        }
        problems = []
        for column in declared.columns:
            found = types_found.get(column.name.lower())
            if found is None:
                problems.append(f"column {name}.{column.name} ({column.data_type}) is missing")
            elif found != column.data_type:
                problems.append(
                    f"column {name}.{column.name} is {found} instead of {column.data_type}"
                )
        return problems

    def append(self, declared: SourceTable, cnpj: Cnpj, rows: Iterable[dict[str, Any]]) -> int:
        """Load rows into a declared table by one load job; return how many."""
        name = f"{self._project}.{declared.dataset(cnpj)}.{declared.name}"
        with self._service_errors(f"loading {name}"):
            return self._load(name, declared.columns, rows)

    @contextmanager
    def loaded(
        self,
        dataset: str,
        columns: Sequence[Column],
        rows: Iterable[dict[str, Any]],
        *,
        doing: str,
    ) -> Iterator[str]:
        """Load rows into a table that exists during the block; yields its name.

        If the process dies, the table expires. bqemulator 1.4.0 has no expiration.
        """
        table = f"{SCRATCH_PREFIX}{uuid.uuid4().hex}"
        name = f"{self._project}.{dataset}.{table}"
        scratch = bigquery.Table(name, schema=[_schema_field(column) for column in columns])
        scratch.expires = datetime.now(UTC) + _SCRATCH_LIFE
        with self._service_errors(doing):
            self._client.create_table(scratch, retry=_RETRY)
            try:
                self._load(name, columns, rows)
                yield table
            finally:
                self._client.delete_table(name, retry=_RETRY, not_found_ok=True)

    def _load(self, name: str, columns: Sequence[Column], rows: Iterable[dict[str, Any]]) -> int:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        if not lines:
            return 0
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            schema=[_schema_field(column) for column in columns],
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        )
        self._client.load_table_from_file(
            io.BytesIO("\n".join(lines).encode()), name, job_config=config
        ).result()
        return len(lines)

    def insert(self, declared: SourceTable, rows: Sequence[dict[str, Any]]) -> None:
        """Stream rows into a table of VMHUB_OPS; create the table if it is missing.

        Raises:
            ServiceError: BigQuery refused rows; earlier requests may have succeeded.

        """
        for first in range(0, len(rows), ROWS_A_REQUEST):
            self._insert_part(declared, rows[first : first + ROWS_A_REQUEST])

    def _insert_part(self, declared: SourceTable, rows: Sequence[dict[str, Any]]) -> None:
        name = f"{self._project}.{OPS_DATASET}.{declared.name}"
        # One id per row: BigQuery keeps a row once even if it is sent again after a lost answer.
        ids = [str(uuid.uuid4()) for _ in rows]
        with self._service_errors(f"recording in {OPS_DATASET}.{declared.name}"):
            try:
                problems = self._insert(name, rows, ids, _RETRY)
            except google_errors.NotFound:
                self.create_dataset(OPS_DATASET, description=OPS_DESCRIPTION)
                self.create_table(declared)
                problems = self._insert(name, rows, ids, _NEW_TABLE_RETRY)
        if problems:
            # Show the reason only: the service's text can quote a cell.
            reasons = {item.get("reason", "") for row in problems for item in row["errors"]}
            message = f"recording in {name}: {len(problems)} rows refused: {', '.join(reasons)}"
            raise ServiceError(message)

    def _insert(
        self, name: str, rows: Sequence[dict[str, Any]], ids: Sequence[str], retry: Retry
    ) -> Sequence[dict[str, Any]]:
        problems: Sequence[dict[str, Any]] = self._client.insert_rows_json(
            name, rows, row_ids=ids, retry=retry, timeout=_TIMEOUT_SECONDS
        )
        return problems

    def query(
        self,
        sql: str,
        *,
        doing: str,
        parameters: Mapping[str, str | Sequence[str]] | None = None,
    ) -> list[dict[str, Any]]:
        """Run a query, with named STRING or ARRAY<STRING> parameters, and return its rows.

        Not `query_and_wait`: bqemulator 1.4.0 swallows a query's errors there.
        """
        config = bigquery.QueryJobConfig(
            query_parameters=[
                bigquery.ScalarQueryParameter(name, "STRING", value)
                if isinstance(value, str)
                else bigquery.ArrayQueryParameter(name, "STRING", value)
                for name, value in (parameters or {}).items()
            ]
        )
        with self._service_errors(doing):
            job = self._client.query(sql, job_config=config)
            rows = [dict(row) for row in job.result()]
        self.queries += 1
        self.bytes_billed += job.total_bytes_billed or 0
        return rows

    def tables(self, dataset: str) -> dict[str, datetime]:
        """Return the tables of a dataset by name, with when they were created; none without it.

        It is a free request.
        """
        with self._service_errors(f"listing the tables of {dataset}"):
            try:
                listed = list(self._client.list_tables(f"{self._project}.{dataset}", retry=_RETRY))
            except google_errors.NotFound:
                return {}
        return {table.table_id: table.created or datetime.now(UTC) for table in listed}

    def drop_table(self, dataset: str, table: str) -> None:
        """Delete a table; a missing one is not an error."""
        with self._service_errors(f"deleting table {dataset}.{table}"):
            self._client.delete_table(
                f"{self._project}.{dataset}.{table}", retry=_RETRY, not_found_ok=True
            )

    def modified_at(self, dataset: str, table: str) -> datetime | None:
        """Return when a table was last written (a free request); None: the table does not exist.

        bqemulator 1.4.0 moves it when a table is created or replaced, not when rows come.
        """
        with self._service_errors(f"looking at table {dataset}.{table}"):
            try:
                found = self._client.get_table(
                    f"{self._project}.{dataset}.{table}",
                    retry=_LOOK_UP_RETRY,
                    timeout=_TIMEOUT_SECONDS,
                )
            except google_errors.NotFound:
                return None
        modified: datetime = found.modified
        return modified

    def published_at(self, cnpj: Cnpj) -> datetime | None:
        """Return the instant as of which campaign_targets was last built; None: never."""
        dataset, table = f"{cnpj}_CAMPAIGN", "target_publication"
        with self._service_errors(f"reading {dataset}.{table}"):
            try:
                snapshot = Snapshot(self._reader, self._project, dataset, table, "built_at")
            except google_errors.NotFound:
                return None
            built = [
                instant
                for batch in snapshot.batches()
                for instant in batch.column("built_at").to_pylist()
            ]
        return max(built).astimezone(UTC) if built else None

    def first_value(self, dataset: str, table: str, column: str) -> Any:
        """Return the value of a column that all rows of a table share; None: there is no row."""
        with self._service_errors(f"reading {dataset}.{table}"):
            snapshot = Snapshot(self._reader, self._project, dataset, table, column)
            values = (
                value for batch in snapshot.batches() for value in batch.column(column).to_pylist()
            )
            return next(values, None)

    def rows(self, dataset: str, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """Return these columns of all rows of a table; it bills the bytes read, and no query."""
        with self._service_errors(f"reading {dataset}.{table}"):
            snapshot = Snapshot(self._reader, self._project, dataset, table, *columns)
            return [
                row
                for batch in snapshot.batches()
                for row in zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
            ]

    def opted_out(self, cnpj: Cnpj) -> set[tuple[str, str]]:
        """Return the campaign and customer id of each decision that an opt-out blocks."""
        columns = ("campaign_type", "customer_id", "first_blocker")
        return {
            (campaign_type, customer_id)
            for campaign_type, customer_id, blocker in self.rows(
                f"{cnpj}_CAMPAIGN", "campaign_decisions", *columns
            )
            if blocker == "OPTED_OUT"
        }

    def targets(self, cnpj: Cnpj) -> TargetRows:
        """Return the rows of a laundromat's campaign_targets as they are now.

        Raises:
            ConfigurationError: The table is missing, or its columns are wrong.

        """
        dataset, table = f"{cnpj}_CAMPAIGN", "campaign_targets"
        with self._service_errors(f"reading {dataset}.{table}"):
            try:
                snapshot = Snapshot(self._reader, self._project, dataset, table, *Target._fields)
            except (google_errors.InvalidArgument, google_errors.NotFound):
                # The service rejects a missing column without naming it.
                self._check_columns(dataset, table, Target._fields)
                raise
        return TargetRows(snapshot, self._service_errors)

    def _check_columns(self, dataset: str, table: str, columns: Iterable[str]) -> None:
        found = self._client.get_table(f"{self._project}.{dataset}.{table}", retry=_RETRY)
        missing = sorted(set(columns) - {field.name for field in found.schema})
        if missing:
            message = f"{dataset}.{table} has the wrong columns: {', '.join(missing)} is missing"
            raise ConfigurationError(message, hint="build it again with `vmhub build`")

    def _service_errors(self, doing: str) -> AbstractContextManager[None]:
        return service_errors(doing, self._address)


def _schema_field(column: Column) -> bigquery.SchemaField:
    return bigquery.SchemaField(column.name, column.data_type, description=column.description)
