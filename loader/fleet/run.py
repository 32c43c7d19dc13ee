"""`vmhub run`: serve a fleet, count the outcome of every laundromat, and record it."""

from __future__ import annotations

import json
import logging
import resource
import time
import uuid
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING

from loader.base.clock import TOLERANCE, check_has_come, now
from loader.base.cnpj import parse_cnpj
from loader.base.errors import ConfigurationError, ExitCode, RunError, VmhubError
from loader.base.interrupts import Interrupts
from loader.base.logs import LogFormat
from loader.base.retry import Retry
from loader.base.shards import Shard, stable_hash
from loader.bigquery.runs import Run, peak_memory_mib
from loader.firestore.lease import LeaseLostError, Leases
from loader.fleet.pool import Pool, WorkerDiedError
from loader.fleet.result import UNTOUCHED, HourOutcome, HourResult, StoppedError, TimeLimitError
from loader.fleet.worker import WorkerSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.firestore.traffic import TrafficCount
    from loader.services import Services

__all__ = ["FleetOptions", "FleetReport", "run_fleet"]

_log = logging.getLogger(__name__)

_ERRORS: dict[str, type[VmhubError]] = {
    error.__name__: error
    for error in (TimeLimitError, WorkerDiedError, StoppedError, ConfigurationError)
}
_WELL = frozenset({HourOutcome.OK, *UNTOUCHED} - {HourOutcome.NOT_STARTED})
_DONE = _WELL | {HourOutcome.PARTLY}


@dataclass(frozen=True)
class FleetOptions:
    """What an operator may change about a run."""

    shard: Shard = field(default_factory=Shard)
    jobs: int = 2
    """Laundromats served in parallel, each by a process of its own."""
    limit_seconds: float = 600.0
    """How long one laundromat may take."""
    lease_seconds: float = 120.0
    """How long a laundromat stays locked after the process that served it was killed."""
    as_of: datetime | None = None
    """The run's instant; None: the time at which each laundromat's turn comes."""
    log_format: LogFormat = LogFormat.TEXT


@dataclass(frozen=True)
class FleetReport:
    """The results of the laundromats of a shard."""

    fleet_run_id: str
    shard: str | None
    """Such as 0/3; None: a run of laundromats that were named."""
    laundromats: int
    """The sum of the counts."""
    counts: dict[HourOutcome, int]
    not_well: tuple[HourResult, ...]
    """Laundromats with an outcome that somebody should look at."""
    seconds: float
    cpu_seconds: float
    """CPU seconds of this process and its workers."""
    peak_memory_mib: float
    """Peak memory of the largest of them."""
    documents_read: int = 0
    """Read from Firestore for the run itself and for laundromats that were not touched."""
    writes_sent: int = 0
    """As documents_read."""
    interrupted_by: int | None = None
    """The signal that ended the run early."""
    problem: str = ""
    """Why workers could not be started; empty if they could."""
    not_recorded: str = ""
    """Why part of the run is missing in VMHUB_OPS; empty if nothing is."""

    @property
    def exit_code(self) -> int:
        """Return the exit code of the process; see docs/operations.md."""
        if self.interrupted_by is not None:
            return 128 + self.interrupted_by
        failed = self.counts.get(HourOutcome.FAILED, 0) + self.counts.get(HourOutcome.TIMED_OUT, 0)
        if (failed or self.problem) and not self.counts.keys() & _DONE:
            return ExitCode.FAILED
        is_well = not (self.not_well or self.problem or self.not_recorded)
        return ExitCode.OK if is_well else ExitCode.PARTLY_FAILED


def run_fleet(
    services: Services,
    cnpjs: Sequence[Cnpj] | None,
    options: FleetOptions,
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> FleetReport:
    """Serve each laundromat on its own: settings, lease, track, build, sync, figures, record.

    Args:
        services: The services.
        cnpjs: The laundromats; None: all active ones.
        options: How to serve them.
        on_progress: Called with the number of laundromats that have ended, and the total.

    Raises:
        ConfigurationError: The run's instant is in the future, or the clock is behind; nothing was
            served.
        ServiceError: Firestore does not answer; nothing was served.
        RunError: The counts do not add up.

    """
    fleet_run_id = str(uuid.uuid4())
    before = services.database.traffic.count()
    leases = Leases(services.database, fleet_run_id, lasts=timedelta(seconds=options.lease_seconds))
    since = leases.now()
    if not services.environment.is_local:
        _check_instant(options.as_of, since)
    mine, broken = _of_shard(services, cnpjs, options.shard)
    # A new order for every run: if an hour is too short, it is not always for the same ones.
    mine.sort(key=lambda cnpj: stable_hash(f"{fleet_run_id}{cnpj}"))
    setup = WorkerSetup(
        services.project,
        services.environment,
        services.state_dir,
        fleet_run_id,
        since,
        options.as_of,
        options.lease_seconds,
        options.limit_seconds,
        options.log_format,
    )
    interrupts = Interrupts()
    pool = Pool(
        setup, jobs=options.jobs, limit_seconds=options.limit_seconds, interrupts=interrupts
    )
    # A run of named laundromats says nothing about the state of the fleet.
    shard = None if cnpjs is not None else str(options.shard)
    tally = _Tally(services, leases, fleet_run_id, options, shard, before=before)
    total = len(mine) + len(broken)
    with interrupts.held_back():
        with closing(pool.serve(mine)) as answers:
            for served in chain(broken, answers):
                tally.add(served)
                on_progress(tally.counts.total(), total)
        return tally.report(total, interrupted_by=interrupts.received, problem=pool.problem)


def _check_instant(as_of: datetime | None, service_time: datetime) -> None:
    """Raise a ConfigurationError when a run's instant is in the future, or the clock is wrong.

    With a clock that is ahead, watermarks would skip future writes of senders, and targets of
    another day would go out. With one that is behind, a run would not see recent events, such as
    opt-outs.
    """
    moment = as_of or now()
    check_has_come(moment, service_time, "Firestore")
    if as_of is None and service_time - moment > TOLERANCE:
        message = (
            f"Firestore says that it is {service_time:%Y-%m-%d %H:%M:%SZ}, and "
            f"this machine's clock is behind, at {moment:%Y-%m-%d %H:%M:%SZ}"
        )
        raise ConfigurationError(message, hint="set it")


def _of_shard(
    services: Services, cnpjs: Sequence[Cnpj] | None, shard: Shard
) -> tuple[list[Cnpj], list[HourResult]]:
    """Return a shard's laundromats, and the errors of registry entries without a valid CNPJ."""
    if cnpjs is not None:
        # Remove duplicates: one run could otherwise serve a laundromat twice at the same time.
        return [cnpj for cnpj in dict.fromkeys(cnpjs) if shard.has(cnpj)], []
    entries, errors, strangers = Retry(patience_seconds=20.0).call(services.registry.fleet)
    if strangers:
        _log.warning("%d documents of users are no laundromat's: their ids are no CNPJ", strangers)
    broken = [
        HourResult(name, HourOutcome.FAILED, "REGISTRY", ConfigurationError.__name__, reason)
        for name, reason in errors.items()
        if shard.has(name)
    ]
    return [entry.cnpj for entry in entries if shard.has(entry.cnpj)], broken


class _Tally:
    """Counts the laundromats, and records those whose worker could not."""

    def __init__(
        self,
        services: Services,
        leases: Leases,
        fleet_run_id: str,
        options: FleetOptions,
        shard: str | None,
        *,
        before: TrafficCount,
    ) -> None:
        self.counts: Counter[HourOutcome] = Counter()
        self._not_well: list[HourResult] = []
        self._not_recorded = ""
        self._peak_memory_mib = 0.0
        self._services = services
        self._leases = leases
        self._fleet_run_id = fleet_run_id
        self._options = options
        self._shard = shard
        self._before = before
        self._untouched = Counter[str]()
        self._log = services.new_ops_log()
        self._began, self._cpu_began = now(), _cpu_seconds()

    def add(self, served: HourResult) -> None:
        """Count a laundromat."""
        self.counts[served.outcome] += 1
        self._untouched.update(reads=served.documents_read, writes=served.writes_sent)
        self._peak_memory_mib = max(self._peak_memory_mib, served.peak_memory_mib)
        self._not_recorded = self._not_recorded or served.not_recorded
        if served.outcome not in _WELL:
            self._not_well.append(served)
        if served.reason:
            _log.error("%s %s: %s: %s", served.cnpj, served.outcome, served.error, served.reason)
        if served.is_lost:
            self._free(served)
        if served.is_lost or served.step == "REGISTRY":
            self._record(served)

    def _free(self, served: HourResult) -> None:
        """Release the lease that a killed process left behind."""
        try:
            self._leases.drop(parse_cnpj(served.cnpj))
        except LeaseLostError:
            # It had not taken the lease yet.
            pass
        except VmhubError as error:
            _log.warning("giving back the lease of %s: %s", served.cnpj, error)

    def _record(self, served: HourResult) -> None:
        ended = now()
        instants = iter([ended - timedelta(seconds=served.seconds), ended])
        run = Run(
            served.cnpj,
            "run",
            self._options.as_of or ended,
            fleet_run_id=self._fleet_run_id,
            clock=lambda: next(instants),
        )
        error = _ERRORS[served.error](served.reason)
        # The parent's memory is not the memory of the process that served it.
        self._log.insert("runs", [{**run.row(error), "peak_memory_mib": None}])
        self._not_recorded = self._not_recorded or self._log.failure

    def report(self, laundromats: int, *, interrupted_by: int | None, problem: str) -> FleetReport:
        """Record the run as a whole, and return its report.

        Raises:
            RunError: The counts do not add up.

        """
        if self.counts.total() != laundromats:
            message = f"{laundromats} laundromats and {self.counts.total()} accounted for"
            raise RunError(message, hint="this is a bug in the loader: report it")
        ended = now()
        own = self._services.database.traffic.count().since(self._before)
        report = FleetReport(
            fleet_run_id=self._fleet_run_id,
            shard=self._shard,
            laundromats=laundromats,
            counts={
                outcome: self.counts[outcome] for outcome in HourOutcome if self.counts[outcome]
            },
            not_well=tuple(self._not_well),
            seconds=round((ended - self._began).total_seconds(), 3),
            cpu_seconds=round(_cpu_seconds() - self._cpu_began, 3),
            peak_memory_mib=max(self._peak_memory_mib, peak_memory_mib()),
            documents_read=own.reads + self._untouched["reads"],
            writes_sent=own.writes + self._untouched["writes"],
            interrupted_by=interrupted_by,
            problem=problem,
            not_recorded=self._not_recorded,
        )
        row = {
            "fleet_run_id": report.fleet_run_id,
            "shard": report.shard,
            "started_at": self._began.isoformat(),
            "ended_at": ended.isoformat(),
            "jobs": self._options.jobs,
            "laundromats": laundromats,
            "counts": json.dumps(report.counts),
            "exit_code": report.exit_code,
            "seconds": report.seconds,
            "cpu_seconds": report.cpu_seconds,
            "peak_memory_mib": report.peak_memory_mib,
            "documents_read": report.documents_read,
            "writes_sent": report.writes_sent,
        }
        # A new log: a failure to record earlier says nothing about now.
        log = self._services.new_ops_log()
        log.insert("fleet_runs", [row])
        return replace(report, not_recorded=self._not_recorded or log.failure)


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and the children it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
