"""What a command works with: the project, the services, and the laundromat it is about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from loader.build import BuildReport, build
from loader.build_spec import BuildSpec, Side
from loader.built import last_build
from loader.check.bigquery import WarehouseProbe
from loader.check.run import check
from loader.dbt import Dbt, ParsedProject
from loader.environment import Environment
from loader.explain import Explainer, Explanation, explain
from loader.firestore.changes import ChangeReader
from loader.firestore.client import Database, connect
from loader.firestore.registry import Registry
from loader.firestore.targets import TargetStore
from loader.interrupts import Interrupts
from loader.ops import OpsLog, SyncLog
from loader.owner_report.figures import Laundromat, OwnerFigures, Period, figures_of
from loader.owner_report.reading import read_rows
from loader.pace import Pace
from loader.preview import PreviewReport, preview
from loader.project import Project, find_project
from loader.retry import Retry
from loader.settings import campaign_types, effective_settings, settings_report
from loader.status.run import StatusReport, status
from loader.sync import Problem, SyncOptions, SyncReport, sync
from loader.track import TrackReport, track
from loader.tracking import Watermark
from loader.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from loader.check.checklist import CheckReport
    from loader.cnpj import Cnpj
    from loader.settings import SettingsReport
    from loader.status.facts import Limits
    from loader.status.receivers import Receivers

__all__ = ["Session"]


@dataclass(frozen=True)
class Session:
    """One process's connections, made when first needed."""

    project: Project
    environment: Environment
    state_dir: Path
    """Where dbt keeps its files, apart per laundromat."""
    parsed: ParsedProject | None = None
    """dbt's parse of the project, when others share it; the session's own otherwise."""

    @classmethod
    def open(cls) -> Session:
        """Return a session for this folder's project and this environment's services."""
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
        folder = self.state_dir / "dbt"
        parsed = self.parsed
        if parsed is None or parsed.project != self.project:
            parsed = ParsedProject(self.project, folder / "parse")
        return Dbt(parsed, self.environment, folder)

    @cached_property
    def registry(self) -> Registry:
        """Who is served."""
        return Registry(self.database)

    def build(self, cnpj: Cnpj, *, as_of: datetime, arguments: Sequence[str] = ()) -> BuildReport:
        """Build a registered laundromat's tables and record it; see `loader.build.build`."""
        settings = effective_settings(self.project, self.registry.tenant(cnpj))
        log = OpsLog(self.warehouse, self.project.ops_tables())
        with log.run(cnpj, "build", as_of) as run, run.step("BUILD") as step:
            report = build(
                self.dbt,
                self.project,
                self.warehouse,
                BuildSpec(settings, as_of),
                arguments=arguments,
            )
            step.queries, step.bytes_billed = report.queries, report.bytes_billed
        return replace(report, not_recorded=log.failure)

    def sync(
        self,
        cnpj: Cnpj,
        *,
        as_of: datetime,
        options: SyncOptions,
        max_ops: int | None = None,
        interrupts: Interrupts | None = None,
        on_progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> SyncReport:
        """Sync a registered laundromat's targets and record it; see `loader.sync.sync`.

        A dry run is not recorded: it changes nothing, and needs no permission to write.

        Args:
            cnpj: The laundromat.
            as_of: The run's instant.
            options: Guards, the dry run, and what to leave out.
            max_ops: Writes a second, 0 for no bound; None: Firestore's ramp for new traffic, and no
                bound on an emulator.
            interrupts: Takes note of signals while documents are written.
            on_progress: Told how many of how many rows have been taken.

        """
        tenant = self.registry.tenant(cnpj)
        settings = effective_settings(self.project, tenant)
        interrupts = interrupts or Interrupts()
        is_bounded = max_ops != 0 and (max_ops is not None or not self.environment.is_local)
        pace = Pace(max_ops, sleep=interrupts.sleep) if is_bounded else None
        watermark = Watermark(tenant.tracked_until, tenant.tracked_full_at)
        store = TargetStore(self.database, cnpj, pace=pace, watermark=watermark)

        def run(on_problem: Callable[[Problem], None]) -> SyncReport:
            return sync(
                self.warehouse,
                store,
                cnpj=cnpj,
                as_of=as_of,
                campaign_types={*tenant.campaign_types, *campaign_types(self.project)},
                max_attempts=settings["max_attempts"],
                options=options,
                interrupts=interrupts,
                on_problem=on_problem,
                on_progress=on_progress,
            )

        if options.is_dry_run:
            return run(lambda _: None)
        log = SyncLog(self.warehouse, self.project.ops_tables(), cnpj=cnpj, as_of=as_of)
        try:
            report = run(log.problem)
        except BaseException as error:
            log.failed(error)
            raise
        return log.finished(report)

    def track(
        self, cnpjs: Sequence[Cnpj] | None, *, as_of: datetime, is_full: bool = False
    ) -> TrackReport:
        """Track laundromats' documents and record it; see `loader.track.track`.

        Args:
            cnpjs: Registered laundromats; None: all active ones.
            as_of: The run's instant.
            is_full: Read all documents.

        """
        if cnpjs is None:
            tenants, errors = self.registry.fleet()
        else:
            tenants, errors = [self.registry.tenant(cnpj) for cnpj in cnpjs], {}
        own = frozenset(campaign_types(self.project))
        return track(
            ChangeReader(self.database, Retry()),
            self.warehouse,
            self.registry,
            [replace(tenant, campaign_types=tenant.campaign_types | own) for tenant in tenants],
            as_of=as_of,
            is_full=is_full,
            broken=errors,
            ops_tables=self.project.ops_tables(),
        )

    def status(
        self, *, as_of: datetime, limits: Limits, receivers: Receivers | None = None
    ) -> StatusReport:
        """Look at the fleet, and tell receivers what has changed; see `loader.status.run`."""
        return status(
            self.warehouse,
            self.registry,
            self.project.ops_tables(),
            project=self.environment.project,
            as_of=as_of,
            limits=limits,
            receivers=receivers,
        )

    @cached_property
    def explainer(self) -> Explainer:
        """Asks the campaigns' SQL about single customers."""
        return Explainer(self.dbt, self.warehouse)

    def explain(self, cnpj: Cnpj, customer_id: str) -> Explanation:
        """Explain a registered laundromat's customer; see `loader.explain.explain`."""
        tenant = self.registry.tenant(cnpj)
        return explain(
            self.explainer,
            TargetStore(self.database, cnpj),
            customer_id=customer_id,
            settings=effective_settings(self.project, tenant),
            campaign_types=sorted({*tenant.campaign_types, *campaign_types(self.project)}),
        )

    def preview(
        self,
        cnpj: Cnpj,
        *,
        as_of: datetime,
        changes: dict[str, Any],
        compare_to: datetime | Literal["live"] | None,
    ) -> PreviewReport:
        """Preview a registered laundromat's campaigns; see `loader.preview.preview`.

        Args:
            cnpj: The laundromat.
            as_of: The instant to show.
            changes: Settings to try, by name.
            compare_to: An instant with the settings as they are, or the live tables. None: with
                changed settings the same instant without them, else nothing.

        """
        tenant = self.registry.tenant(cnpj)
        settings = effective_settings(self.project, tenant)
        changed = effective_settings(self.project, tenant, changes)
        baseline = None
        if isinstance(compare_to, str):
            baseline = BuildSpec(settings, last_build(self.warehouse, cnpj))
        elif compare_to is not None or changes:
            baseline = BuildSpec(settings, compare_to or as_of, Side.BASELINE)
        spec = BuildSpec(changed, as_of, Side.PREVIEW)
        return preview(self.explainer, self.project, spec, baseline)

    def owner_figures(self, cnpj: Cnpj, *, as_of: datetime, days: int) -> OwnerFigures:
        """Return what a registered laundromat's owner is told; see docs/report.md.

        Args:
            cnpj: The laundromat.
            as_of: The period's last day is the laundromat's own at this instant.
            days: How long the period is.

        """
        tenant = self.registry.tenant(cnpj)
        settings = effective_settings(self.project, tenant)
        timezone = ZoneInfo(settings["timezone"])
        laundromat = Laundromat(
            cnpj,
            tenant.name,
            last_build(self.warehouse, cnpj).astimezone(timezone),
            settings["conversion_days"],
        )
        period = Period.ending(as_of.astimezone(timezone).date(), days)
        return figures_of(laundromat, period, read_rows(self.warehouse, cnpj, period))

    def settings(self, cnpj: Cnpj) -> SettingsReport:
        """Return a registered laundromat's settings; see `loader.settings.settings_report`."""
        return settings_report(self.project, self.registry.tenant(cnpj))

    def check(self, cnpj: Cnpj, *, as_of: datetime, raw_max_age: timedelta) -> CheckReport:
        """Check whether a laundromat can be served; see `loader.check.run.check`."""
        return check(
            self.project,
            WarehouseProbe(self.environment),
            self.database,
            self.registry,
            self.dbt,
            cnpj=cnpj,
            location=self.environment.location,
            as_of=as_of,
            raw_max_age=raw_max_age,
        )
