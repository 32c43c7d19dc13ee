"""Snapshots of tables, read by the Storage Read API as often as needed.

The API streams Arrow batches and bills the bytes read instead of at least 10 MiB a query
(https://cloud.google.com/bigquery/docs/reference/storage). All reads of one session see the
table as it was when the session began, and a stream always gives its rows in the same order.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types

from loader.base.errors import ConfigurationError
from loader.sync.model import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["Snapshot", "TargetRows"]

_TIMEOUT_SECONDS = 60.0
_ROWS_AT_A_TIME = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INSTANTS = ("cycle_start", "expires_at", "built_at")


class Snapshot:
    """Columns of a table as they were at one instant."""

    def __init__(
        self, reader: BigQueryReadClient, project: str, dataset: str, table: str, *columns: str
    ) -> None:
        """Take the snapshot; raises Google's own errors."""
        self.name = f"{dataset}.{table}"
        session = reader.create_read_session(
            parent=f"projects/{project}",
            read_session=types.ReadSession(
                table=f"projects/{project}/datasets/{dataset}/tables/{table}",
                data_format=types.DataFormat.ARROW,
                read_options=types.ReadSession.TableReadOptions(selected_fields=list(columns)),
            ),
            max_stream_count=1,
            timeout=_TIMEOUT_SECONDS,
        )
        self._reader = reader
        self._streams = [stream.name for stream in session.streams]
        self.schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))

    def batches(self) -> Iterator[Any]:
        """Yield the rows as Arrow batches, each time from the beginning."""
        for stream in self._streams:
            # The client's reader resumes a broken stream where it stopped.
            for response in self._reader.read_rows(stream):  # type: ignore[no-untyped-call]
                serialized = response.arrow_record_batch.serialized_record_batch
                yield pa.ipc.read_record_batch(pa.py_buffer(serialized), self.schema)


class TargetRows:
    """Rows of a campaign_targets, in parts; every iteration yields the same rows and order."""

    def __init__(
        self, snapshot: Snapshot, errors: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        """Check the table's columns.

        Args:
            snapshot: Has the columns of `Target`, in any order.
            errors: Turns Google's errors into ours; takes what was being done.

        Raises:
            ConfigurationError: A column is missing or has another type.

        """
        self._snapshot = snapshot
        self._errors = errors
        problems = list(_problems(snapshot.schema))
        if problems:
            message = f"{snapshot.name} has the wrong columns: {', '.join(problems)}"
            raise ConfigurationError(message, hint="build it again with `vmhub build`")

    def __iter__(self) -> Iterator[list[Target]]:
        """Yield the rows from the beginning."""
        instants = _Instants()
        with self._errors(f"reading {self._snapshot.name}"):
            for batch in self._snapshot.batches():
                for start in range(0, batch.num_rows, _ROWS_AT_A_TIME):
                    yield _as_targets(batch.slice(start, _ROWS_AT_A_TIME), instants)


class _Instants(dict[int | None, datetime | None]):
    """A cache of instants by microseconds; the rows of one build share nearly all of them."""

    def __missing__(self, microseconds: int | None) -> datetime | None:
        if microseconds is None:
            return None
        if len(self) >= _ROWS_AT_A_TIME:
            self.clear()
        instant = self[microseconds] = _EPOCH + microseconds * _MICROSECOND
        return instant


def _as_targets(batch: Any, instants: _Instants) -> list[Target]:
    columns = []
    for name in Target._fields:
        column = batch.column(name)
        if name in _INSTANTS:
            microseconds = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
            columns.append([instants[number] for number in microseconds])
        else:
            columns.append(column.to_pylist())
    return list(map(Target._make, zip(*columns, strict=True)))


def _problems(schema: Any) -> Iterator[str]:
    for name in Target._fields:
        if name not in schema.names:
            yield f"{name} is missing"
            continue
        found = schema.field(name).type
        is_right = pa.types.is_timestamp(found) if name in _INSTANTS else pa.types.is_string(found)
        if not is_right:
            yield f"{name} is {found}"
