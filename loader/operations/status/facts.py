"""What is known of the fleet at an instant, and what follows from it; pure.

The rows are those of VMHUB_OPS, described in models/sources/_ops__sources.yml.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from loader.base.errors import ExitCode
from loader.base.shards import Shard

__all__ = [
    "LOOK_BACK",
    "SILENCE",
    "SUCCESS_CODES",
    "Facts",
    "FleetRun",
    "LastRun",
    "Limits",
    "RawTable",
    "ServedCount",
]

LOOK_BACK = timedelta(days=7)
"""How old the runs may be that are looked at."""
SILENCE = timedelta(hours=2)
"""How long no run may end before somebody is told: one hourly run may be missed or be late."""
SUCCESS_CODES = (ExitCode.OK, ExitCode.PARTLY_FAILED)
"""Exit codes of a run that served its laundromat; the second left rows to look at."""


@dataclass(frozen=True)
class Limits:
    """From where on something is wrong."""

    failures: int = 3
    """So many failures of a laundromat in a row."""
    error_percent: float = 5.0
    """More of the served laundromats failed, and at least two."""
    raw_max_age: timedelta = timedelta(hours=26)
    """RAW data is older. A day's delivery, and two hours for being late."""
    run_minutes: float = 45.0
    """A run took longer, so that it hardly ends before the next one."""
    memory_mib: float = 1500.0
    """A process took more."""


@dataclass(frozen=True)
class FleetRun:
    """A `vmhub run` that came to its end."""

    fleet_run_id: str
    shard: Shard
    started_at: datetime
    ended_at: datetime
    laundromats: int
    counts: dict[str, int]
    """Laundromats by what became of them."""
    exit_code: int
    seconds: float
    peak_memory_mib: float

    @property
    def without_worker(self) -> int:
        """How many laundromats were not served since no process for them could be started.

        A run that was told to end leaves some, too, which is no trouble: the next serves them.
        """
        is_own_end = self.exit_code in (ExitCode.FAILED, ExitCode.PARTLY_FAILED)
        return self.counts.get("not_started", 0) if is_own_end else 0


@dataclass(frozen=True)
class LastRun:
    """The last run of one laundromat, and the unbroken row of failures that it ends."""

    cnpj: str
    started_at: datetime
    exit_code: int
    seconds: float
    peak_memory_mib: float
    failures: int
    """How often it failed in a row; 0 when the last run succeeded."""
    failing_since: datetime | None
    """When the first of these failed runs began."""
    succeeded_at: datetime | None
    """When the last successful run began; None: none in the time that was looked at."""
    step: str = ""
    """The step that failed; empty when none did, or when it is not known."""
    error: str = ""
    reason: str = ""


@dataclass(frozen=True)
class RawTable:
    """How old a laundromat's sales are."""

    cnpj: str
    modified_at: datetime | None
    """When {CNPJ}_RAW.vendas last changed; None: see the problem."""
    problem: str = ""
    """Why that cannot be said, such as "missing"."""
    is_known: bool = True
    """False: BigQuery did not say; another time it may."""


@dataclass(frozen=True)
class ServedCount:
    """Laundromats that runs went through, and how many of them failed."""

    laundromats: int = 0
    failed: int = 0

    @property
    def error_percent(self) -> float:
        """How many of a hundred failed."""
        return 100 * self.failed / self.laundromats if self.laundromats else 0.0


@dataclass(frozen=True)
class Facts:
    """What the tables said at one instant, of the laundromats that are active."""

    as_of: datetime
    fleet_runs: tuple[FleetRun, ...] = ()
    """In any order, none older than LOOK_BACK."""
    laundromats: tuple[LastRun, ...] = ()
    """Those that ran within LOOK_BACK."""
    without_runs: tuple[str, ...] = ()
    """The CNPJs of the others."""
    raw_tables: tuple[RawTable, ...] = ()
    served: ServedCount = ServedCount()
    """By the runs of `last_runs`."""

    @property
    def is_silent(self) -> bool:
        """Whether no run at all ended of late."""
        return not any(self._is_recent(run.ended_at) for run in self.fleet_runs)

    @property
    def last_runs(self) -> tuple[FleetRun, ...]:
        """The last run of each shard, as the fleet is divided now, in the order of the shards."""
        newest: dict[int, FleetRun] = {}
        for run in self._present_runs():
            newest.setdefault(run.shard.index, run)
        return tuple(newest[index] for index in sorted(newest))

    @property
    def silent_shards(self) -> tuple[Shard, ...]:
        """The shards of which no run ended of late while others did.

        One that was never seen counts from the first run since the fleet was divided so.
        """
        runs = self._present_runs()
        if not runs or self.is_silent:
            return ()
        divided_at = min(run.ended_at for run in runs)
        count = runs[0].shard.count
        seen_at = {run.shard.index: run.ended_at for run in reversed(runs)}
        return tuple(
            Shard(index, count)
            for index in range(count)
            if not self._is_recent(seen_at.get(index, divided_at))
        )

    @property
    def failing(self) -> tuple[LastRun, ...]:
        """The laundromats whose last run failed; those that have failed longest come first."""
        failing = [laundromat for laundromat in self.laundromats if laundromat.failures]
        return tuple(sorted(failing, key=lambda item: (-item.failures, item.cnpj)))

    def stale(self, max_age: timedelta) -> tuple[RawTable, ...]:
        """Return the RAW tables that are missing or older; those without an age come first."""
        oldest_allowed = self.as_of - max_age
        stale = [
            table
            for table in self.raw_tables
            if table.is_known and (table.modified_at is None or table.modified_at < oldest_allowed)
        ]
        return tuple(
            sorted(
                stale,
                key=lambda table: (
                    table.modified_at is not None,
                    table.modified_at or self.as_of,
                    table.cnpj,
                ),
            )
        )

    def _is_recent(self, instant: datetime) -> bool:
        return instant >= self.as_of - SILENCE

    def _present_runs(self) -> list[FleetRun]:
        """Return the runs since the fleet was last divided anew, the newest first."""
        runs = sorted(self.fleet_runs, key=lambda run: (run.started_at, run.ended_at), reverse=True)
        return list(takewhile(lambda run: run.shard.count == runs[0].shard.count, runs))
