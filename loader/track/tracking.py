"""Firestore to BigQuery: read what changed, write it, then move the watermark.

A laundromat's watermark is the instant up to which its documents are in its tables. It moves
only after they are written, and every row has a key. So a run that was killed, repeated or doubled
leaves the same table.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from loader.base.errors import ExitCode, VmhubError
from loader.bigquery.runs import Run
from loader.messages import OVERLAP
from loader.track.news import News, own_news

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from loader.base.cnpj import Cnpj
    from loader.bigquery.ops import OpsLog
    from loader.bigquery.runs import StepRecord
    from loader.bigquery.warehouse import Warehouse
    from loader.firestore.changes import ChangeReader
    from loader.firestore.registry import Registry, RegistryEntry
    from loader.messages import Oddity

__all__ = ["TrackReport", "TrackedLaundromat", "has_news", "track", "track_one"]

_log = logging.getLogger(__name__)

# A laundromat that is further behind is read alone, so that others are not read again for it.
_LAG = timedelta(hours=3)
_AT_A_TIME = 400


@dataclass(frozen=True)
class TrackedLaundromat:
    """What tracking found of one laundromat."""

    cnpj: str
    documents: int
    rows: int
    """Attempts, new or already known."""
    statements: int
    oddities: tuple[Oddity, ...]
    opt_outs: int = 0
    """Suppressions, new or already known."""
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
    """Bring the tables of laundromats up to date with their documents.

    Targets and sends become rows of message_history, suppressions of opt_outs.

    Args:
        reader: Reads the documents.
        warehouse: Holds the tables.
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
        news = {str(entry.cnpj): News() for entry in together}
        strangers = {str(entry.cnpj) for entry in apart}
        unknown = _read_together(reader, news, strangers, _oldest(together), as_of)
        for entry in together:
            writer.write(entry.cnpj, news.pop(entry.cnpj))
    for entry in apart:
        reader.read_time = None
        own = own_news(reader, entry, as_of, since=None if is_full else _since(entry))
        writer.write(entry.cnpj, own, full_at=reader.read_time if is_full else None)
    writer.flush()
    failed = [
        TrackedLaundromat(cnpj, 0, 0, 0, (), 0, error) for cnpj, error in (broken or {}).items()
    ]
    return TrackReport(
        as_of,
        is_full,
        reader.documents_read,
        unknown,
        (*writer.done, *failed),
        not_recorded=writer.ops.failure,
    )


def _oldest(entries: Sequence[RegistryEntry]) -> datetime:
    """Return the start of one query for all of them."""
    return min(filter(None, (_since(entry) for entry in entries)))


def _read_together(
    reader: ChangeReader,
    news: Mapping[str, News],
    strangers: Collection[str],
    since: datetime,
    as_of: datetime,
) -> int:
    """Read the fleet's changed documents; return how many are of laundromats that are not active.

    Args:
        reader: Reads the documents.
        news: Takes the rows, by CNPJ.
        strangers: Laundromats that are read alone.
        since: Read documents from this instant on.
        as_of: The run's instant.

    """
    unknown = 0

    def of(cnpj: str) -> News:
        nonlocal unknown
        unknown += cnpj not in news and cnpj not in strangers
        return news.get(cnpj) or News()

    for target in reader.changed(since):
        of(target.cnpj).add(target, as_of)
    for send in reader.sends(since):
        of(send.cnpj).add_send(send, as_of)
    for suppression in reader.suppressions(since):
        of(suppression.cnpj).add_suppression(suppression)
    return unknown


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
    """Bring one laundromat's tables up to date, as part of a longer run.

    Args:
        reader: Reads the documents.
        warehouse: Holds the history.
        registry: Keeps the watermark.
        entry: The laundromat.
        as_of: The run's instant, to which the watermark moves.
        step: The record that takes the counts.
        on_oddities: Records the documents that cannot be read as they should. If it fails, the
            watermark does not move, since no later run would see them.

    Raises:
        VmhubError: The watermark did not move; the next run reads the same documents again.

    """
    news = own_news(reader, entry, as_of, since=_since(entry))
    news.write(warehouse, entry.cnpj, step)
    if news.oddities:
        step.exit_code = ExitCode.PARTLY_FAILED
        on_oddities(news.oddities)
    registry.set_tracked({entry.cnpj: None}, until=as_of)
    step.writes_sent = 1


def has_news(reader: ChangeReader, entry: RegistryEntry) -> bool:
    """Return whether tracking would find documents of a laundromat.

    It reads at most one document of each campaign, one attempt and one suppression.
    """
    since = _since(entry)
    return reader.has_receipts(entry.cnpj, since) or any(
        reader.has_changed(entry.cnpj, campaign_type, since)
        for campaign_type in sorted(entry.campaign_types)
    )


def _since(entry: RegistryEntry) -> datetime | None:
    return entry.watermark.until - OVERLAP if entry.watermark.until else None


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

    def write(self, cnpj: Cnpj, news: News, *, full_at: datetime | None = None) -> None:
        """Write one laundromat's rows; a failure affects only this laundromat."""
        failure: VmhubError | None = None
        run = Run(cnpj, "track", self._as_of)
        try:
            with run.step("TRACK") as step:
                news.write(self._warehouse, cnpj, step)
                # Its watermark, which `flush` moves.
                step.writes_sent = 1
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
                len(news.wishes),
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
