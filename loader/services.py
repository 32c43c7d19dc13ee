"""One process's connections, and the recorded steps that use them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from loader.base.clock import check_has_come, now
from loader.base.environment import Environment
from loader.base.interrupts import Interrupts
from loader.base.pace import Pace
from loader.base.pseudonyms import PSEUDONYM_PREFIX, pseudonym
from loader.base.retry import Retry
from loader.bigquery.actor import actor
from loader.bigquery.audit import AuditLog
from loader.bigquery.ops import OpsLog, SyncLog
from loader.bigquery.secret_keys import person_key
from loader.bigquery.warehouse import Warehouse
from loader.dbt.build import BuildReport, build
from loader.dbt.project import Project, find_project
from loader.dbt.spec import BuildSpec
from loader.firestore.changes import ChangeReader
from loader.firestore.client import Database, connect
from loader.firestore.registry import Registry
from loader.firestore.targets import TargetStore
from loader.laundromat import Laundromat, resolve
from loader.sync.run import Problem, SyncOptions, SyncReport, sync, withdraw_suppressed
from loader.track.tracking import TrackReport, track
from loader.wishes import live_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from loader.base.cnpj import Cnpj
    from loader.dbt.runner import Dbt, ParsedProject

__all__ = ["Services"]

# Older opt-outs need not be read: the targets of builds that did not know them have expired.
_UNKNOWN_TO_BUILDS = timedelta(days=2)


@dataclass(frozen=True)
class Services:
    """One process's connections, made when first needed."""

    project: Project
    environment: Environment
    state_dir: Path
    """Where dbt keeps its files, one folder per laundromat."""
    parsed: ParsedProject | None = None
    """A shared parse of the project; None: these services parse on their own."""

    @classmethod
    def open(cls) -> Services:
        """Return the services of this folder's project and this environment."""
        project = find_project()
        return cls(project, Environment.from_variables(), project.state_dir)

    @cached_property
    def warehouse(self) -> Warehouse:
        """BigQuery."""
        return Warehouse(self.environment)

    @cached_property
    def database(self) -> Database:
        """Firestore."""
        return connect(self.environment)

    @cached_property
    def dbt(self) -> Dbt:
        """dbt, on one parse for all laundromats."""
        # Imported here: dbt takes seconds to import, and most commands do not need it.
        from loader.dbt.runner import Dbt, ParsedProject  # noqa: PLC0415

        folder = self.state_dir / "dbt"
        parsed = self.parsed
        if parsed is None or parsed.project != self.project:
            parsed = ParsedProject(self.project, folder / "parse")
        return Dbt(parsed, self.environment, folder)

    @cached_property
    def registry(self) -> Registry:
        """The registry of laundromats."""
        return Registry(self.database, self.project.campaign_types())

    def new_ops_log(self) -> OpsLog:
        """Return a log of VMHUB_OPS for one run; it notes what could not be recorded."""
        return OpsLog(self.warehouse, self.project.ops_tables())

    def new_audit_log(self, command: str) -> AuditLog:
        """Return the audit log of a command, such as ``vmhub explain``.

        Raises:
            ServiceError: BigQuery does not say who runs the command.

        """
        return AuditLog(
            self.warehouse,
            self.project.ops_tables()["audit"],
            actor=actor(self.warehouse, is_local=self.environment.is_local),
            command=command,
        )

    def pseudonyms(self, cnpj: Cnpj) -> Callable[[str], str]:
        """Return what names a laundromat's customer ids and phones in the audit log.

        The laundromat's key is read once for all of them.
        """
        return partial(pseudonym, person_key(self.warehouse.acting_for(cnpj), cnpj))

    def pseudonym(self, cnpj: Cnpj, identifier: str) -> str:
        """Return the name of one customer id or phone; see `pseudonyms`."""
        return self.pseudonyms(cnpj)(identifier)

    def list_name(self, cnpj: Cnpj, digest: str) -> str:
        """Return the name of a list of opt-outs in the audit log, by the SHA-256 of its file."""
        return self.pseudonym(cnpj, digest).replace(PSEUDONYM_PREFIX, "list-")

    def laundromat(self, cnpj: Cnpj, changes: Mapping[str, Any] | None = None) -> Laundromat:
        """Return a registered laundromat; see `loader.laundromat.resolve`.

        Raises:
            ConfigurationError: It is not registered or not active, or a setting is wrong.
            ServiceError: Firestore does not answer.

        """
        return resolve(self.project, self.registry.entry(cnpj), changes)

    def build(
        self, laundromat: Laundromat, *, as_of: datetime, arguments: Sequence[str] = ()
    ) -> BuildReport:
        """Build a laundromat's tables by hand and record it; see `loader.dbt.build.build`."""
        self._check_instant(as_of)
        log = self.new_ops_log()
        with log.run(laundromat.cnpj, "build", as_of) as run, run.step("BUILD") as step:
            report = build(
                self.dbt,
                self.project,
                self.warehouse.acting_for(laundromat.cnpj),
                BuildSpec(laundromat.settings, as_of),
                arguments=arguments,
                keeps_log=True,
            )
            step.queries, step.bytes_billed = report.queries, report.bytes_billed
        return replace(report, not_recorded=log.failure)

    def sync(
        self,
        laundromat: Laundromat,
        *,
        as_of: datetime,
        options: SyncOptions,
        max_ops: int | None = None,
        interrupts: Interrupts | None = None,
        on_progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> SyncReport:
        """Sync a laundromat's targets and record it; see `loader.sync.run.sync`.

        A dry run is not recorded: it changes nothing, and must not need permission to write.

        Args:
            laundromat: The laundromat.
            as_of: The run's instant.
            options: Guards, the dry run, and what to leave out.
            max_ops: Writes per second, 0 for no limit; None: Firestore's ramp for new traffic, and
                no limit on an emulator.
            interrupts: Takes note of signals while documents are written.
            on_progress: Called with the number of rows taken so far, and the total.

        """
        if not options.is_dry_run:
            self._check_instant(as_of)
        cnpj = laundromat.cnpj
        interrupts = interrupts or Interrupts()
        is_bounded = max_ops != 0 and (max_ops is not None or not self.environment.is_local)
        pace = Pace(max_ops, sleep=interrupts.sleep) if is_bounded else None
        store = self._targets(laundromat, as_of, pace)
        reader = ChangeReader(self.database, Retry(sleep=interrupts.sleep))

        def run(on_problem: Callable[[Problem], None]) -> SyncReport:
            report = sync(
                self.warehouse.acting_for(cnpj),
                store,
                cnpj=cnpj,
                as_of=as_of,
                campaign_types=laundromat.campaign_types,
                max_attempts=laundromat.settings["max_attempts"],
                suppressed_keys=lambda: _suppressed_keys(reader, store, cnpj, as_of),
                options=options,
                interrupts=interrupts,
                on_problem=on_problem,
                on_progress=on_progress,
            )
            documents_read = report.documents_read + reader.documents_read
            return replace(report, documents_read=documents_read)

        if options.is_dry_run:
            return run(lambda _: None)
        log = SyncLog(self.warehouse, self.project.ops_tables(), cnpj=cnpj, as_of=as_of)
        try:
            report = run(log.problem)
        except BaseException as error:
            log.failed(error)
            raise
        return log.finished(report)

    def withdraw_suppressed(
        self, laundromat: Laundromat, *, as_of: datetime, interrupts: Interrupts
    ) -> int:
        """Withdraw what is pending for people who opted out; see `loader.sync.run`."""
        store = self._targets(laundromat, as_of)
        reader = ChangeReader(self.database, Retry(sleep=interrupts.sleep))
        return withdraw_suppressed(
            store,
            as_of=as_of,
            campaign_types=laundromat.campaign_types,
            suppressed_keys=_suppressed_keys(reader, store, laundromat.cnpj, as_of),
            interrupts=interrupts,
        )

    def _targets(
        self, laundromat: Laundromat, as_of: datetime, pace: Pace | None = None
    ) -> TargetStore:
        watermark = laundromat.entry.watermark.believed(as_of)
        return TargetStore(self.database, laundromat.cnpj, pace=pace, watermark=watermark)

    def track(
        self, cnpjs: Sequence[Cnpj] | None, *, as_of: datetime, is_full: bool = False
    ) -> TrackReport:
        """Track laundromats' documents and record it; see `loader.track.tracking.track`.

        Args:
            cnpjs: Registered laundromats; None: all active ones.
            as_of: The run's instant.
            is_full: Read all documents.

        """
        self._check_instant(as_of)
        if cnpjs is None:
            entries, errors, _ = self.registry.fleet()
        else:
            entries, errors = self.registry.entries(cnpjs)
        return track(
            ChangeReader(self.database, Retry()),
            self.warehouse,
            self.registry,
            [entry.believed(as_of) for entry in entries],
            as_of=as_of,
            is_full=is_full,
            broken=errors,
            ops_log=self.new_ops_log(),
        )

    def _check_instant(self, as_of: datetime) -> None:
        """Raise a ConfigurationError for an instant in the future; on emulators it is allowed."""
        if not self.environment.is_local:
            check_has_come(as_of, now(), "this machine's clock")


def _suppressed_keys(
    reader: ChangeReader, store: TargetStore, cnpj: Cnpj, as_of: datetime
) -> frozenset[str]:
    """Return the keys of people whose opt-out a build may not know yet."""
    tracked_until = store.watermark.until
    since = min(tracked_until, as_of) - _UNKNOWN_TO_BUILDS if tracked_until else None
    return frozenset(live_keys(reader.suppressions(since, cnpj)))
