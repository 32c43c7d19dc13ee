"""Removes personal data that was kept for as long as the settings say.

Every step can be repeated, so the next run finishes what a killed one left. Opt-outs have no end:
without them, a person who wants no messages would get one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from loader.base.errors import ExitCode
from loader.bigquery.declaration import OPS_DATASET
from loader.bigquery.retention import KeptColumns, KeptRows, OldRows
from loader.bigquery.warehouse import SCRATCH_PREFIX
from loader.messages import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse
    from loader.firestore.people import FoundDocument, PeopleStore

__all__ = ["KEPT_SETTINGS", "FleetSweeper", "SweepReport", "Sweeper", "Swept", "kept_days"]

_COLUMNS = (
    KeptColumns("texts_kept_days", "message_history", "sent_at", ("message_content", "message_id")),
    KeptColumns("texts_kept_days", "messages", "sent_at", ("message_id",)),
    KeptColumns("phones_kept_days", "message_history", "sent_at", ("phone",)),
)
_ROWS = (
    KeptRows("rejects_kept_days", "sync_rejects", "recorded_at"),
    KeptRows("logs_kept_days", "sync_runs", "started_at"),
    KeptRows("logs_kept_days", "runs", "started_at"),
)
# Not alerts, whose newest rows say what is open, and not audit, which is never changed.
_SHARED_ROWS = tuple(
    KeptRows("logs_kept_days", table, instant, is_shared=True)
    for table, instant in (
        ("fleet_runs", "started_at"),
        ("send_runs", "recorded_at"),
        ("send_pauses", "begun_at"),
        ("webhook_runs", "recorded_at"),
        ("webhook_rejects", "recorded_at"),
        ("webhook_events", "recorded_at"),
    )
)
KEPT_SETTINGS = (
    "texts_kept_days",
    "phones_kept_days",
    "targets_kept_days",
    "sends_kept_days",
    "rejects_kept_days",
    "previews_kept_days",
    "logs_kept_days",
)
"""The settings that say for how many days something is kept."""
# The tables that a process leaves behind if it dies expire by themselves, except on an emulator.
_LEFT_BEHIND = timedelta(days=1)
# Documents that are deleted before the next ones are read.
_PART = 4000


def kept_days(settings: Mapping[str, Any]) -> dict[str, int]:
    """Return for how many days what is kept."""
    return {name: settings[name] for name in KEPT_SETTINGS}


@dataclass(frozen=True)
class Swept:
    """What was too old in one place."""

    place: str
    """A table or collection."""
    setting: str
    before: datetime
    """What is older was removed."""
    count: int
    """Rows, documents or tables."""


@dataclass(frozen=True)
class SweepReport:
    """What was, or would be, removed of one laundromat."""

    cnpj: str
    """Empty: the records of the whole fleet."""
    is_dry_run: bool
    swept: tuple[Swept, ...] = ()
    error: str = ""
    """Why it ended early; the next run does the rest."""

    @property
    def exit_code(self) -> int:
        """Return the exit code of the process."""
        return ExitCode.PARTLY_FAILED if self.error else ExitCode.OK


@dataclass
class Sweeper:
    """Sweeps one laundromat."""

    warehouse: Warehouse
    store: PeopleStore
    cnpj: Cnpj
    days: Mapping[str, int]
    """From `kept_days`."""
    campaign_types: Iterable[str]
    now: datetime
    tracked_until: datetime | None
    """Documents that were written later may not be in BigQuery yet."""
    is_dry_run: bool
    on_step: Callable[[str], None] = lambda _: None
    """Called before each step; the caller renews its lease there."""
    swept: list[Swept] = field(default_factory=list)
    """What was done so far, also when a service has failed."""

    def sweep(self) -> SweepReport:
        """Remove what is too old.

        Raises:
            VmhubError: A service does not answer; the next run does the rest.

        """
        self.on_step("documents")
        self._sweep_documents()
        self.on_step("tables")
        own = self.warehouse.tables(f"{self.cnpj}_CAMPAIGN")
        shared = self.warehouse.tables(OPS_DATASET)
        old = OldRows(self.warehouse, self.cnpj)
        known: list[KeptColumns | KeptRows] = [kept for kept in _COLUMNS if kept.table in own]
        known += [kept for kept in _ROWS if kept.table in shared]
        for kept in known:
            self.on_step(kept.table)
            self.swept += _sweep_rows(old, kept, self._before(kept.setting), self.is_dry_run)
        self.on_step("previews")
        self._drop(f"{self.cnpj}_PREVIEW", "", self._before("previews_kept_days"))
        self._drop(f"{self.cnpj}_CAMPAIGN", SCRATCH_PREFIX, self.now - _LEFT_BEHIND)
        return SweepReport(self.cnpj, self.is_dry_run, tuple(self.swept))

    def _before(self, setting: str) -> datetime:
        return self.now - timedelta(days=self.days[setting])

    def _sweep_documents(self) -> None:
        sends = self._before("sends_kept_days")
        for campaign in sorted(self.campaign_types):
            below = ("campaigns", campaign)
            before = self._before("targets_kept_days")
            self._delete("targets", "targets_kept_days", "updatedAt", before, below=below)
        self._delete("sends", "sends_kept_days", "updatedAt", sends)
        self._delete("resumptions", "sends_kept_days", "updatedAt", sends)
        self._delete("confirmations", "sends_kept_days", "at", sends)

    def _delete(
        self,
        collection: str,
        setting: str,
        instant: str,
        before: datetime,
        *,
        below: tuple[str, ...] = (),
    ) -> None:
        if collection in ("targets", "sends"):
            if self.tracked_until is None:
                return
            before = min(before, self.tracked_until - timedelta(days=1))
        count = 0
        if self.is_dry_run:
            count = sum(1 for _ in self._old(collection, instant, before, below))
        else:
            while part := list(islice(self._old(collection, instant, before, below), _PART)):
                self.store.delete(part)
                self.on_step(collection)
                count += len(part)
        if count:
            place = "/".join(("users", self.cnpj, *below, collection))
            self.swept.append(Swept(place, setting, before, count))

    def _old(
        self, collection: str, instant: str, before: datetime, below: tuple[str, ...]
    ) -> Iterator[FoundDocument]:
        """Yield the old documents of a collection, without targets that wait."""
        for document in self.store.older(collection, instant, before, below=below):
            if document.fields.get("status") != Status.PENDING:
                yield document

    def _drop(self, dataset: str, prefix: str, before: datetime) -> None:
        old = [
            table
            for table, created_at in self.warehouse.tables(dataset).items()
            if table.startswith(prefix) and created_at < before
        ]
        if not self.is_dry_run:
            for table in old:
                self.warehouse.drop_table(dataset, table)
        if old:
            setting = "" if prefix else "previews_kept_days"
            self.swept.append(Swept(dataset, setting, before, len(old)))


@dataclass
class FleetSweeper:
    """Sweeps the records of the whole fleet, which hold no personal data."""

    warehouse: Warehouse
    days: Mapping[str, int]
    """From `kept_days`, of the project's own values."""
    now: datetime
    is_dry_run: bool

    def sweep(self) -> SweepReport:
        """Remove what is too old.

        Raises:
            VmhubError: BigQuery does not answer; the next run does the rest.

        """
        tables = self.warehouse.tables(OPS_DATASET)
        old = OldRows(self.warehouse, None)
        swept: list[Swept] = []
        for kept in _SHARED_ROWS:
            if kept.table in tables:
                before = self.now - timedelta(days=self.days[kept.setting])
                swept += _sweep_rows(old, kept, before, self.is_dry_run)
        return SweepReport("", self.is_dry_run, tuple(swept))


def _sweep_rows(
    old: OldRows,
    kept: KeptColumns | KeptRows,
    before: datetime,
    is_dry_run: bool,  # noqa: FBT001 - of the whole sweep
) -> list[Swept]:
    count = old.count(kept, before)
    if not count:
        return []
    if not is_dry_run:
        old.remove(kept, before)
    return [Swept(old.place(kept), kept.setting, before, count)]
