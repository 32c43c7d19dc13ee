"""Firestore to message_history: read what changed, write it, then move the watermark.

A laundromat's watermark is the instant up to which its documents are in message_history. It moves
only after they are written, and every row has a key. So a run that was killed, repeated or doubled
leaves the same table.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from loader.base.errors import ExitCode, VmhubError
from loader.base.fields import Fields
from loader.bigquery.history import merge_history
from loader.bigquery.runs import Run
from loader.messages import Oddity, history_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from loader.base.cnpj import Cnpj
    from loader.bigquery.ops import OpsLog
    from loader.bigquery.runs import StepRecord
    from loader.bigquery.warehouse import Warehouse
    from loader.firestore.changes import ChangeReader
    from loader.firestore.registry import Registry, RegistryEntry
    from loader.messages import HistoryRow, TrackedDocument

__all__ = ["TrackReport", "TrackedLaundromat", "has_news", "track", "track_one"]

_log = logging.getLogger(__name__)

# Writers' clocks differ, and a document can be written shortly after the instant it names.
_OVERLAP = timedelta(minutes=10)
# A laundromat that is further behind is read alone, so that others are not read again for it.
_LAG = timedelta(hours=3)
_AT_A_TIME = 400
_TOLD_PROBLEMS = 5
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TrackedLaundromat:
    """What tracking found of one laundromat."""

    cnpj: str
    documents: int
    rows: int
    """Attempts, new or already known."""
    statements: int
    oddities: tuple[Oddity, ...]
    error: str = ""
    """Why nothing was written and the watermark stays; empty: all was written."""


@dataclass(frozen=True)
class TrackReport:
    """What a run of tracking did."""

    as_of: datetime
    is_full: bool
    documents_read: int
    unknown_documents: int
    """Documents of laundromats that are not active."""
    laundromats: tuple[TrackedLaundromat, ...]
    not_recorded: str = ""
    """Why this run is missing in VMHUB_OPS; empty when it is recorded."""

    @property
    def exit_code(self) -> int:
        """Return the exit code of the process."""
        failed = sum(bool(laundromat.error) for laundromat in self.laundromats)
        if failed and failed == len(self.laundromats):
            return ExitCode.FAILED
        is_odd = any(laundromat.oddities for laundromat in self.laundromats)
        return ExitCode.PARTLY_FAILED if failed or is_odd or self.not_recorded else ExitCode.OK


@dataclass
class _News:
    documents: int = 0
    rows: dict[tuple[str, str, str, int], HistoryRow] = field(default_factory=dict)
    oddities: list[Oddity] = field(default_factory=list)
    oldest: datetime | None = None
    """When the oldest document with rows was created."""

    def add(self, document: TrackedDocument, as_of: datetime) -> None:
        self.documents += 1
        rows, problems = history_rows(document, as_of)
        if problems:
            reason = "; ".join(problems[:_TOLD_PROBLEMS])
            self.oddities.append(Oddity(document.campaign_type, document.customer_id, reason))
        if not rows:
            return
        self.rows.update((row.key, row) for row in rows)
        created_at = Fields(document.fields).instant("createdAt") or _BEGINNING
        first = min(created_at, *(row.sent_at for row in rows))
        self.oldest = first if self.oldest is None else min(self.oldest, first)


def track(
    reader: ChangeReader,
    warehouse: Warehouse,
    registry: Registry,
    entries: Sequence[RegistryEntry],
    *,
    as_of: datetime,
    ops_log: OpsLog,
    is_full: bool = False,
    broken: Mapping[str, str] | None = None,
) -> TrackReport:
    """Bring the message_history of laundromats up to date with their target documents.

    Args:
        reader: Reads the documents.
        warehouse: Holds the histories.
        registry: Keeps the watermarks.
        entries: The laundromats.
        as_of: The run's instant, to which the watermarks move.
        ops_log: Where the runs are recorded.
        is_full: Read all documents, not only those with a new updatedAt: for senders that do not
            set it.
        broken: Laundromats whose registry entry cannot be used, with the reason.

    Raises:
        ServiceError: Firestore does not answer; only watermarks of what was read have moved.

    """
    together = [] if is_full else _up_to_date(entries)
    apart = [entry for entry in entries if entry not in together]
    writer = _Writer(warehouse, registry, ops_log, as_of)
    unknown = 0
    if together:
        marks = [entry.watermark.until for entry in together if entry.watermark.until]
        news: dict[str, _News] = {entry.cnpj: _News() for entry in together}
        strangers = {entry.cnpj for entry in apart}
        for document in reader.changed(min(marks) - _OVERLAP):
            if document.cnpj in news:
                news[document.cnpj].add(document, as_of)
            else:
                unknown += document.cnpj not in strangers
        for entry in together:
            writer.write(entry.cnpj, news.pop(entry.cnpj))
    for entry in apart:
        reader.read_time = None
        own = _own_news(reader, entry, as_of, is_full=is_full)
        writer.write(entry.cnpj, own, full_at=reader.read_time if is_full else None)
    writer.flush()
    failed = [TrackedLaundromat(cnpj, 0, 0, 0, (), error) for cnpj, error in (broken or {}).items()]
    return TrackReport(
        as_of,
        is_full,
        reader.documents_read,
        unknown,
        (*writer.done, *failed),
        not_recorded=writer.ops.failure,
    )


def _up_to_date(entries: Sequence[RegistryEntry]) -> list[RegistryEntry]:
    """Return those that one query can serve: several with watermarks close together."""
    marks = [entry.watermark.until for entry in entries if entry.watermark.until]
    if len(entries) < 2 or not marks:  # noqa: PLR2004 - one alone is asked on its own
        return []
    newest = max(marks)
    return [
        entry
        for entry in entries
        if entry.watermark.until and entry.watermark.until >= newest - _LAG
    ]


def track_one(
    reader: ChangeReader,
    warehouse: Warehouse,
    registry: Registry,
    entry: RegistryEntry,
    *,
    as_of: datetime,
    step: StepRecord,
    on_oddities: Callable[[Sequence[Oddity]], None],
) -> None:
    """Bring one laundromat's message_history up to date, as part of a longer run.

    Args:
        reader: Reads the documents.
        warehouse: Holds the history.
        registry: Keeps the watermark.
        entry: The laundromat.
        as_of: The run's instant, to which the watermark moves.
        step: The record that takes the counts.
        on_oddities: Records the documents that were sent but give no row. If it fails, the
            watermark does not move, since no later run would see them.

    Raises:
        VmhubError: The watermark did not move; the next run reads the same documents again.

    """
    news = _own_news(reader, entry, as_of, is_full=False)
    _merge(warehouse, entry.cnpj, news, step)
    if news.oddities:
        step.exit_code = ExitCode.PARTLY_FAILED
        on_oddities(news.oddities)
    registry.set_tracked({entry.cnpj: None}, until=as_of)


def has_news(reader: ChangeReader, entry: RegistryEntry) -> bool:
    """Return whether tracking would find documents of a laundromat; reads at most one."""
    since = _since(entry)
    return any(
        reader.has_changed(entry.cnpj, campaign_type, since)
        for campaign_type in sorted(entry.campaign_types)
    )


def _own_news(
    reader: ChangeReader, entry: RegistryEntry, as_of: datetime, *, is_full: bool
) -> _News:
    news = _News()
    since = None if is_full else _since(entry)
    for campaign_type in sorted(entry.campaign_types):
        for document in reader.changed_of(entry.cnpj, campaign_type, since):
            news.add(document, as_of)
    return news


def _since(entry: RegistryEntry) -> datetime | None:
    return entry.watermark.until - _OVERLAP if entry.watermark.until else None


def _merge(warehouse: Warehouse, cnpj: Cnpj, news: _News, step: StepRecord) -> None:
    """Write the news, if any, and count them."""
    step.rows, step.documents_read = len(news.rows), news.documents
    if not news.rows:
        return
    warehouse = warehouse.acting_for(cnpj)
    queries, bytes_billed = warehouse.queries, warehouse.bytes_billed
    rows = list(news.rows.values())
    merge_history(warehouse, cnpj, rows, since=news.oldest or _BEGINNING)
    step.queries = warehouse.queries - queries
    step.bytes_billed = warehouse.bytes_billed - bytes_billed


class _Writer:
    """Writes each laundromat's news, and moves the watermarks after that."""

    def __init__(
        self, warehouse: Warehouse, registry: Registry, ops: OpsLog, as_of: datetime
    ) -> None:
        self.done: list[TrackedLaundromat] = []
        self.ops = ops
        self._warehouse = warehouse
        self._registry = registry
        self._as_of = as_of
        self._marks: dict[Cnpj, datetime | None] = {}
        self._runs: list[dict[str, Any]] = []

    def write(self, cnpj: Cnpj, news: _News, *, full_at: datetime | None = None) -> None:
        """Write one laundromat's rows; a failure affects only this laundromat."""
        failure: VmhubError | None = None
        run = Run(cnpj, "track", self._as_of)
        try:
            with run.step("TRACK") as step:
                _merge(self._warehouse, cnpj, news, step)
        except VmhubError as error:
            failure = error
            _log.error("tracking %s: %s", cnpj, error)
        else:
            self._marks[cnpj] = full_at
        self._runs.append(run.row(failure))
        self.done.append(
            TrackedLaundromat(
                cnpj,
                news.documents,
                len(news.rows),
                step.queries,
                tuple(news.oddities),
                str(failure or ""),
            )
        )
        if len(self._runs) == _AT_A_TIME:
            self.flush()

    def flush(self) -> None:
        """Move the watermarks of all that was written, and record the runs."""
        if self._marks:
            self._registry.set_tracked(self._marks, until=self._as_of)
        if self._runs:
            self.ops.insert("runs", self._runs)
        self._marks, self._runs = {}, []
