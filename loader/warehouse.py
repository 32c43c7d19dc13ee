"""The BigQuery edge: datasets, tables and the reading of campaign_targets.

Reading goes through the Storage Read API: a consistent snapshot, streamed in Arrow batches, and
billed by the bytes read instead of at least 10 MiB a query
(https://cloud.google.com/bigquery/docs/reference/storage).
"""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pyarrow as pa
from google.api_core import exceptions as google_errors
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)
from requests.exceptions import ConnectionError as RequestsConnectionError

from loader.errors import ConfigurationError, RunError, ServiceError
from loader.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from loader.cnpj import Cnpj
    from loader.environment import Environment
    from loader.project import Column, SourceTable

__all__ = ["Warehouse"]

_MAX_MESSAGE_BYTES = 128 * 1024 * 1024
_RETRY = Retry(initial=0.2, maximum=5.0, timeout=20.0)

# Names that BigQuery's REST API still uses for GoogleSQL's types.
_GOOGLE_SQL_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}


class Warehouse:
    """The datasets of a project, as far as the loader needs them."""

    def __init__(self, environment: Environment) -> None:
        """Connect; nothing is sent yet.

        Raises:
            ConfigurationError: There are no credentials for the real service.

        """
        self._project = environment.project
        self._location = environment.location
        self._address = (
            f"the BigQuery emulator at {environment.bigquery_url}"
            if environment.bigquery_url
            else "BigQuery"
        )
        try:
            self._client, self._reader = _clients(environment)
        except GoogleAuthError as error:
            message = "no credentials for BigQuery"
            raise ConfigurationError(
                message,
                hint="run `gcloud auth application-default login`, or give the service account "
                "the roles bigquery.dataEditor, bigquery.jobUser and bigquery.readSessionUser",
            ) from error

    def create_dataset(self, dataset: str, *, description: str) -> bool:
        """Create a dataset where there is none; return whether it is new."""
        reference = bigquery.Dataset(f"{self._project}.{dataset}")
        reference.location = self._location
        reference.description = description
        with self._service_errors(f"creating dataset {dataset}"):
            try:
                self._client.create_dataset(reference, retry=_RETRY)
            except google_errors.Conflict:
                return False
        return True

    def has_dataset(self, dataset: str) -> bool:
        """Return whether there is such a dataset."""
        with self._service_errors(f"looking for dataset {dataset}"):
            try:
                self._client.get_dataset(f"{self._project}.{dataset}", retry=_RETRY)
            except google_errors.NotFound:
                return False
        return True

    def create_table(self, declared: SourceTable, cnpj: Cnpj) -> bool:
        """Create a declared table, or add the columns it lacks; return whether it is new.

        Rows and further columns stay as they are.
        """
        name = f"{self._project}.{declared.dataset(cnpj)}.{declared.name}"
        wanted = bigquery.Table(name, schema=[_field(column) for column in declared.columns])
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

    def schema_problems(self, declared: SourceTable, cnpj: Cnpj) -> list[str]:
        """Return what a table lacks of its declaration, each as one phrase; none if it is fit.

        Further columns are no problem.
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
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        if not lines:
            return 0
        name = f"{self._project}.{declared.dataset(cnpj)}.{declared.name}"
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            schema=[_field(column) for column in declared.columns],
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        )
        with self._service_errors(f"loading {name}"):
            self._client.load_table_from_file(
                io.BytesIO("\n".join(lines).encode()), name, job_config=config
            ).result()
        return len(lines)

    def query(
        self, sql: str, *, doing: str, parameters: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Run a query, with named STRING parameters, and return its rows.

        Not `query_and_wait`: bqemulator 1.4.0 swallows a query's errors there.
        """
        config = bigquery.QueryJobConfig(
            query_parameters=[
                bigquery.ScalarQueryParameter(name, "STRING", value)
                for name, value in (parameters or {}).items()
            ]
        )
        with self._service_errors(doing):
            return [dict(row) for row in self._client.query(sql, job_config=config).result()]

    def published_at(self, cnpj: Cnpj) -> datetime | None:
        """Return the instant as of which campaign_targets was last built; None: never."""
        rows = self._read(
            f"{cnpj}_CAMPAIGN", "target_publication", ("cnpj", "built_at"), missing_is_empty=True
        )
        built = [row["built_at"] for row in rows]
        return max(built) if built else None

    def targets(self, cnpj: Cnpj) -> Iterator[Target]:
        """Yield the rows of a laundromat's campaign_targets, in no order.

        Raises:
            RunError: The table has other columns, or a row belongs to another CNPJ.

        """
        columns = tuple(Target.__dataclass_fields__)
        for row in self._read(f"{cnpj}_CAMPAIGN", "campaign_targets", columns):
            if row["cnpj"] != cnpj:
                message = f"{cnpj}_CAMPAIGN.campaign_targets holds a row of CNPJ {row['cnpj']}"
                raise RunError(message, hint=f"build it again: vmhub build --cnpj {cnpj}")
            yield Target(**{**row, "data": json.loads(row["data"])})

    def _read(
        self,
        dataset: str,
        table: str,
        columns: tuple[str, ...],
        *,
        missing_is_empty: bool = False,
    ) -> Iterator[dict[str, Any]]:
        session = types.ReadSession(
            table=f"projects/{self._project}/datasets/{dataset}/tables/{table}",
            data_format=types.DataFormat.ARROW,
            read_options=types.ReadSession.TableReadOptions(selected_fields=list(columns)),
        )
        with self._service_errors(f"reading {dataset}.{table}"):
            try:
                session = self._reader.create_read_session(
                    parent=f"projects/{self._project}",
                    read_session=session,
                    max_stream_count=1,
                    timeout=60,
                )
            except google_errors.NotFound:
                if missing_is_empty:
                    return
                raise
            for stream in session.streams:
                for batch in self._batches(stream.name, session):
                    for row in batch.to_pylist():
                        yield {name: _in_utc(row[name]) for name in columns}

    def _batches(self, stream: str, session: types.ReadSession) -> Iterator[Any]:
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        # The reader takes up a broken stream where it stopped.
        for response in self._reader.read_rows(stream):  # type: ignore[no-untyped-call]
            serialized = response.arrow_record_batch.serialized_record_batch
            yield pa.ipc.read_record_batch(pa.py_buffer(serialized), schema)

    @contextmanager
    def _service_errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (
            google_errors.ServiceUnavailable,
            google_errors.RetryError,
            RequestsConnectionError,
        ) as error:
            message = f"{doing}: {self._address} does not answer"
            raise ServiceError(
                message,
                hint="check that it runs and is reachable, then run the same command again",
                is_transient=True,
            ) from error
        except google_errors.Forbidden as error:
            message = f"{doing}: permission denied by {self._address}"
            raise ConfigurationError(
                message, hint="docs/real-project.md lists the roles each command needs"
            ) from error
        except google_errors.NotFound as error:
            message = f"{doing}: not found in {self._address}"
            raise ConfigurationError(
                message, hint="run `vmhub onboard`, then `vmhub build`, for this CNPJ"
            ) from error
        except google_errors.GoogleAPICallError as error:
            # Only the reason: the service's text can quote a cell of the table.
            reasons = ", ".join(str(item.get("reason", "")) for item in error.errors) or error.code
            message = f"{doing}: {self._address} answered {reasons}"
            raise ServiceError(message) from error


def _clients(environment: Environment) -> tuple[bigquery.Client, BigQueryReadClient]:
    if environment.bigquery_url is None:
        client = bigquery.Client(project=environment.project, location=environment.location)
        return client, BigQueryReadClient()  # type: ignore[no-untyped-call]
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = bigquery.Client(
        project=environment.project,
        location=environment.location,
        credentials=credentials,
        client_options=ClientOptions(api_endpoint=environment.bigquery_url),
    )
    # bqemulator sends row batches beyond gRPC's default of 4 MiB.
    channel = grpc.insecure_channel(
        environment.bigquery_storage_host,
        options=[("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES)],
    )
    transport = BigQueryReadGrpcTransport(channel=channel, credentials=credentials)
    return client, BigQueryReadClient(transport=transport)  # type: ignore[no-untyped-call]


def _field(column: Column) -> bigquery.SchemaField:
    return bigquery.SchemaField(column.name, column.data_type, description=column.description)


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value
