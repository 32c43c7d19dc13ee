"""One laundromat's hour: settings, lease, track, build, sync, figures, record."""

from __future__ import annotations

import logging
import threading
import traceback
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from loader.base.clock import now
from loader.base.errors import ExitCode, RunError, VmhubError
from loader.base.interrupts import Interrupts
from loader.base.retry import Retry
from loader.bigquery.ops import reject_row
from loader.bigquery.runs import Run
from loader.dbt.build import build
from loader.dbt.spec import BuildSpec
from loader.firestore.changes import ChangeReader
from loader.firestore.lease import LeaseLostError, Refusal
from loader.firestore.targets import TargetStore
from loader.fleet.result import (
    TIME_LIMIT_SIGNAL,
    UNTOUCHED,
    HourOutcome,
    HourResult,
    StoppedError,
    TimeLimitError,
    limit_reason,
)
from loader.fleet.window import SendWindow
from loader.sync.model import Outcome
from loader.sync.run import SyncOptions
from loader.track.tracking import has_news, track_one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.firestore.lease import Lease, Leases
    from loader.firestore.registry import RegistryEntry
    from loader.laundromat import Laundromat
    from loader.messages import Oddity
    from loader.services import Services

__all__ = ["HourRunner"]

_log = logging.getLogger(__name__)


# Exit codes above this are 128 plus the signal that stopped a process.
_BY_SIGNAL = 128


class HourRunner:
    """Serves laundromats, one after another."""

    def __init__(
        self,
        services: Services,
        leases: Leases,
        *,
        fleet_run_id: str,
        since: datetime,
        as_of: datetime | None,
        renew_seconds: float,
        limit_seconds: float,
        interrupts: Interrupts | None = None,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Serve with these connections.

        Args:
            services: The services.
            leases: Takes the leases for the run.
            fleet_run_id: The run's id.
            since: Firestore's time at which the run began.
            as_of: The run's instant; None: the time at which each laundromat's turn comes.
            renew_seconds: How often a lease is renewed.
            limit_seconds: How long a laundromat may take before its parent stops it.
            interrupts: Says whether a signal asked the run to stop.
            on_step: Called with the name of each step as it begins.

        """
        self._services = services
        self._leases = leases
        self._fleet_run_id = fleet_run_id
        self._since = since
        self._as_of = as_of
        self._renew_seconds = renew_seconds
        self._limit_seconds = limit_seconds
        self._interrupts = interrupts or Interrupts()
        self._on_step = on_step
        self._seeds_version = services.project.seeds_version()
        self._step = ""

    def serve(self, cnpj: Cnpj) -> HourResult:
        """Serve a laundromat; the result holds any error, which affects no other laundromat."""
        as_of = self._as_of or now()
        run = Run(cnpj, "run", as_of, fleet_run_id=self._fleet_run_id)
        failure: Exception | None = None
        before = self._services.database.traffic.count()
        try:
            outcome = self._serve(cnpj, as_of, run)
        except StoppedError as error:
            outcome, failure = HourOutcome.INTERRUPTED, error
            if self._interrupts.received is TIME_LIMIT_SIGNAL:
                reason = limit_reason(self._limit_seconds, self._step)
                outcome, failure = HourOutcome.TIMED_OUT, TimeLimitError(reason)
        except Exception as error:  # noqa: BLE001 - no laundromat may end another's run
            outcome, failure = HourOutcome.FAILED, error
        traffic = self._services.database.traffic.count().since(before)
        if outcome in UNTOUCHED:
            return HourResult(
                cnpj, outcome, documents_read=traffic.reads, writes_sent=traffic.writes
            )
        run.count_other(*traffic)
        self._on_step("RECORD")
        log = self._services.new_ops_log()
        row = run.row(failure)
        log.insert("runs", [row])
        return HourResult(
            cnpj,
            outcome,
            step=self._step if failure else "",
            error=type(failure).__name__ if failure else "",
            reason=_error_in_words(failure) if failure else "",
            seconds=row["seconds"],
            peak_memory_mib=row["peak_memory_mib"],
            not_recorded=log.failure,
        )

    def _serve(self, cnpj: Cnpj, as_of: datetime, run: Run) -> HourOutcome:
        self._begin("SETTINGS")
        services = self._services
        laundromat = services.laundromat(cnpj)
        entry = laundromat.entry.believed(as_of)
        spec = BuildSpec(laundromat.settings, as_of)
        reader = ChangeReader(services.database, Retry())
        window = SendWindow(spec.settings)
        must_build = window.is_open(as_of) or self._has_pending(laundromat)
        if not must_build and not has_news(reader, entry):
            return HourOutcome.SKIPPED
        lease = self._leases.take(cnpj, since=self._since)
        if isinstance(lease, Refusal):
            return HourOutcome.BUSY if lease is Refusal.HELD else HourOutcome.DONE_ELSEWHERE
        is_served = False
        try:
            with _Renewal(lease, self._renew_seconds) as renewal:
                with self._opt_outs_respected(run, laundromat, renewal):
                    self._track(run, entry, reader)
                    if must_build:
                        if lease.deployed != self._seeds_version:
                            self._build(run, "DEPLOY", "deploy", spec, renewal)
                            lease.note_deployed(self._seeds_version)
                        self._build(run, "BUILD", "hourly", spec, renewal)
                if must_build:
                    self._sync(run, laundromat, renewal)
                    if window.figures_are_due(as_of, lease.figures_as_of):
                        self._build(run, "FIGURES", "daily", spec, renewal)
                        lease.note_figures(as_of)
            is_served = True
        finally:
            _give_back(lease, is_served=is_served)
        is_odd = any(step.exit_code for step in run.steps)
        return HourOutcome.PARTLY if is_odd else HourOutcome.OK

    def _has_pending(self, laundromat: Laundromat) -> bool:
        store, retry = TargetStore(self._services.database, laundromat.cnpj), Retry()
        return any(
            retry.call(partial(store.has_pending, campaign_type))
            for campaign_type in sorted(laundromat.campaign_types)
        )

    def _track(self, run: Run, entry: RegistryEntry, reader: ChangeReader) -> None:
        self._begin("TRACK")
        services = self._services
        with run.step("TRACK") as step:
            track_one(
                reader,
                services.warehouse,
                services.registry,
                entry,
                as_of=run.as_of,
                step=step,
                on_oddities=partial(self._record_untracked, entry.cnpj),
            )

    def _record_untracked(self, cnpj: Cnpj, oddities: Sequence[Oddity]) -> None:
        rows = [
            reject_row(self._fleet_run_id, cnpj, now(), oddity, "untracked") for oddity in oddities
        ]
        table = self._services.project.ops_tables()["sync_rejects"]
        self._services.warehouse.insert(table, rows)

    def _build(
        self, run: Run, name: str, selector: str, spec: BuildSpec, renewal: _Renewal
    ) -> None:
        self._begin(name, renewal)
        services = self._services
        with run.step(name) as step:
            report = build(
                services.dbt,
                services.project,
                services.warehouse.acting_for(spec.cnpj),
                spec,
                arguments=["--selector", selector],
            )
            step.queries, step.bytes_billed = report.queries, report.bytes_billed
            if name == "BUILD":
                step.outcomes = {"unreadable_opt_outs": self._unreadable_opt_outs(spec.cnpj)}

    def _unreadable_opt_outs(self, cnpj: Cnpj) -> int:
        """Return how many opt-outs name nobody; a laundromat without customers has none."""
        warehouse = self._services.warehouse.acting_for(cnpj)
        found = warehouse.first_value(f"{cnpj}_CAMPAIGN", "customer_facts", "unreadable_opt_outs")
        return int(found or 0)

    @contextmanager
    def _opt_outs_respected(
        self, run: Run, laundromat: Laundromat, renewal: _Renewal
    ) -> Iterator[None]:
        """If a step fails, withdraw what is pending for people who opted out: sync does not come.

        If that fails, too, it is logged.
        """
        try:
            yield
        except (StoppedError, LeaseLostError):
            raise
        except VmhubError:
            try:
                renewal.check()
                with run.step("SYNC") as step:
                    withdrawn = self._services.withdraw_suppressed(
                        laundromat, as_of=run.as_of, interrupts=self._interrupts
                    )
                    step.outcomes = {Outcome.WITHDRAWN.value: withdrawn} if withdrawn else {}
            except VmhubError as error:
                _log.warning(
                    "%s: people who opted out keep pending targets: %s", laundromat.cnpj, error
                )
            raise

    def _sync(self, run: Run, laundromat: Laundromat, renewal: _Renewal) -> None:
        self._begin("SYNC", renewal)
        with run.step("SYNC") as step:
            report = self._services.sync(
                laundromat,
                as_of=run.as_of,
                options=SyncOptions(),
                interrupts=self._interrupts,
            )
            step.rows, step.documents_read = report.rows_read, report.documents_read
            step.writes_sent = report.writes_sent
            step.outcomes = {
                outcome.value: report.total(outcome) for outcome in Outcome if report.total(outcome)
            }
            stopped = report.stopped
            if stopped is not None and stopped.exit_code >= _BY_SIGNAL:
                raise StoppedError(stopped.reason, hint="the next run does the rest")
            if report.exit_code not in (ExitCode.OK, ExitCode.PARTLY_FAILED):
                reason = stopped.reason if stopped else "no row became a document"
                raise RunError(reason, hint="VMHUB_OPS.sync_rejects has the rows and why")
            step.exit_code = report.exit_code

    def _begin(self, step: str, renewal: _Renewal | None = None) -> None:
        if self._interrupts.received is not None:
            message = f"stopped before {step}"
            raise StoppedError(message, hint="the next run does the rest")
        if renewal is not None:
            renewal.check()
        self._step = step
        self._on_step(step)


class _Renewal:
    """Renews a lease in the background, while the block lasts."""

    def __init__(self, lease: Lease, every_seconds: float) -> None:
        self._lease = lease
        self._every_seconds = every_seconds
        self._is_over = threading.Event()
        self._lost: LeaseLostError | None = None
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        # Wait for the thread: a renewal after the release would take the lease again.
        self._is_over.set()
        self._thread.join()

    def check(self) -> None:
        """Raise a LeaseLostError when another run has taken over."""
        if self._lost is not None:
            raise self._lost

    def _renew(self) -> None:
        while not self._is_over.wait(self._every_seconds):
            try:
                self._lease.renew()
            except LeaseLostError as error:
                self._lost = error
                return
            except VmhubError as error:
                # The lease outlasts a few failed renewals.
                _log.warning("renewing the lease of %s: %s", self._lease.key, error)


def _give_back(lease: Lease, *, is_served: bool) -> None:
    try:
        lease.give_back(is_served=is_served)
    except VmhubError as error:
        # The work is done, and the lease expires by itself.
        _log.warning("giving back the lease of %s: %s", lease.key, error)


def _error_in_words(error: Exception) -> str:
    """Return the text of our own error; of any other only its place, since it can quote a row."""
    if isinstance(error, VmhubError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
