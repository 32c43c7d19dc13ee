"""What is known about the fleet at an instant, and what follows from it; pure.

The rows are those of VMHUB_OPS, described in models/sources/_ops__sources.yml.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

from loader.base.errors import ExitCode
from loader.base.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loader.operations.status.sending import SendStatus
    from loader.operations.status.webhook import WebhookStatus

__all__ = [
    "ACCOUNTS_LOOK_BACK",
    "LOOK_BACK",
    "SILENCE",
    "SUCCESS_CODES",
    "AccountEvent",
    "Facts",
    "FleetRun",
    "LastRun",
    "Limits",
    "RawTable",
    "ServedCount",
]

LOOK_BACK = timedelta(days=7)
"""Older runs are not read."""
ACCOUNTS_LOOK_BACK = timedelta(days=60)
"""Older events of WhatsApp are not read; this is long, since a disabled template stays disabled."""
SILENCE = timedelta(hours=2)
"""Time without a finished run before an alert: one hourly run may be missed or late."""
SUCCESS_CODES = (ExitCode.OK, ExitCode.PARTLY_FAILED)
"""Exit codes of a run that served its laundromat; the second one left rows to look at."""


@dataclass(frozen=True)
class Limits:
    """Limits beyond which something is wrong."""

    failures: int = 3
    """Failures of a laundromat in a row."""
    error_percent: float = 5.0
    """Share of the served laundromats that failed; at least two must fail."""
    raw_max_age: timedelta = timedelta(hours=26)
    """Age of RAW data: one delivery a day, and two hours of delay."""
    run_minutes: float = 45.0
    """Duration of a run; a longer one hardly ends before the next begins."""
    memory_mib: float = 1500.0
    """A process took more."""
    waiting_minutes: float = 120.0
    """Age of the oldest waiting target."""
    send_failed_percent: float = 20.0
    """Share of an hour's messages that failed for other reasons than the customer's."""
    unknown_attempts: int = 10
    """Attempts with an unknown outcome; a few resolve themselves when statuses come."""
    month_gib: float | None = None
    """GiB that a laundromat's runs may bill in a month; None: not looked at, since the query reads
    a month of records."""


@dataclass(frozen=True)
class FleetRun:
    """A `vmhub run` that has ended."""

    fleet_run_id: str
    shard: Shard
    started_at: datetime
    ended_at: datetime
    laundromats: int
    counts: dict[str, int]
    """Number of laundromats by outcome."""
    exit_code: int
    seconds: float
    peak_memory_mib: float

    @property
    def without_worker(self) -> int:
        """How many laundromats were not served, since no process for them could be started.

        A run that was asked to stop also leaves some; that is fine, since the next run serves them.
        """
        is_own_end = self.exit_code in (ExitCode.FAILED, ExitCode.PARTLY_FAILED)
        return self.counts.get("not_started", 0) if is_own_end else 0


@dataclass(frozen=True)
class LastRun:
    """The last run of one laundromat, with the failures in a row up to it."""

    cnpj: str
    started_at: datetime
    exit_code: int
    seconds: float
    peak_memory_mib: float
    failures: int
    """Number of failures in a row; 0 when the last run succeeded."""
    failing_since: datetime | None
    """When the first of these failures began."""
    succeeded_at: datetime | None
    """When the last successful run began; None: none within LOOK_BACK."""
    step: str = ""
    """The step that failed; empty when none failed, or when it is unknown."""
    error: str = ""
    reason: str = ""
    unreadable_opt_outs: int = 0
    """Opt-outs that name nobody, according to its last build."""


@dataclass(frozen=True)
class RawTable:
    """How old a laundromat's sales are."""

    cnpj: str
    modified_at: datetime | None
    """When {CNPJ}_RAW.vendas last changed; None: see the problem."""
    problem: str = ""
    """Why the age is unknown, such as "missing"."""
    is_known: bool = True
    """False: BigQuery did not answer this time."""


# WhatsApp's words for what stops messages, or soon will (webhooks/reference).
_BAD_EVENTS = frozenset(
    {
        *("PAUSED", "DISABLED", "REJECTED", "FLAGGED", "DOWNGRADE"),
        *("ACCOUNT_DELETED", "DISABLE", "RESTRICTED_BIZ_INITIATED_MESSAGING"),
    }
)


@dataclass(frozen=True)
class AccountEvent:
    """WhatsApp's newest event of a template, a number or an account."""

    kind: str
    """template, number or account."""
    key: str
    """What it is about: the account, and the template or number."""
    event: str
    reason: str
    happened_at: datetime

    @property
    def is_bad(self) -> bool:
        """Whether messages stop because of it, or may stop soon."""
        return bool(_BAD_EVENTS & {self.event, *self.reason.split()})


@dataclass(frozen=True)
class ServedCount:
    """Number of laundromats that were served, and of those that failed."""

    laundromats: int = 0
    failed: int = 0

    @property
    def error_percent(self) -> float:
        """The percentage that failed."""
        return 100 * self.failed / self.laundromats if self.laundromats else 0.0


@dataclass(frozen=True)
class Facts:
    """What the tables said at one instant about the active laundromats."""

    as_of: datetime
    fleet_runs: tuple[FleetRun, ...] = ()
    """Fleet runs in any order, none older than LOOK_BACK."""
    laundromats: tuple[LastRun, ...] = ()
    """Laundromats with a run within LOOK_BACK."""
    without_runs: tuple[str, ...] = ()
    """CNPJs of laundromats without one."""
    raw_tables: tuple[RawTable, ...] = ()
    account_events: tuple[AccountEvent, ...] = ()
    """The newest event of each template, number and account."""
    served: ServedCount = ServedCount()
    """Counted over the runs of `last_runs`."""
    sending: SendStatus | None = None
    """None: no sender has written anything within a day."""
    webhook: WebhookStatus | None = None
    """None: no webhook has written anything within a day."""
    month_bytes: Mapping[str, int] | None = None
    """By CNPJ: bytes billed since the month began in UTC; None: not read."""

    @property
    def is_silent(self) -> bool:
        """Whether no run at all has ended recently."""
        return not any(self._is_recent(run.ended_at) for run in self.fleet_runs)

    @property
    def last_runs(self) -> tuple[FleetRun, ...]:
        """The last run of each shard of the current division, in shard order."""
        newest: dict[int, FleetRun] = {}
        for run in self._present_runs():
            newest.setdefault(run.shard.index, run)
        return tuple(newest[index] for index in sorted(newest))

    @property
    def silent_shards(self) -> tuple[Shard, ...]:
        """The shards without a recently finished run, while other shards have one.

        A shard that was never seen counts from the first run of the current division.
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
        """The laundromats whose last run failed; the longest failing come first."""
        failing = [laundromat for laundromat in self.laundromats if laundromat.failures]
        return tuple(sorted(failing, key=lambda item: (-item.failures, item.cnpj)))

    def stale(self, max_age: timedelta) -> tuple[RawTable, ...]:
        """Return the RAW tables that are missing or too old; those without an age come first."""
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
        """Return the runs of the current division of the fleet, newest first."""
        runs = sorted(self.fleet_runs, key=lambda run: (run.started_at, run.ended_at), reverse=True)
        return list(takewhile(lambda run: run.shard.count == runs[0].shard.count, runs))
