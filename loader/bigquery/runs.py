"""A run's duration, CPU, memory and result, measured while it runs."""

from __future__ import annotations

import json
import resource
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from loader.base.clock import now
from loader.base.errors import ExitCode, exit_code_of, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

__all__ = ["Run", "StepRecord", "peak_memory_mib"]


@dataclass
class StepRecord:
    """What one step of a run took; the step itself fills in the counts."""

    step: str
    """TRACK, DEPLOY, BUILD, SYNC or FIGURES; OTHER for what no step counts."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of this process only."""
    queries: int = 0
    bytes_billed: int = 0
    rows: int = 0
    """Rows of message_history that were written, or of campaign_targets that were read."""
    documents_read: int = 0
    writes_sent: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    """Number of rows by outcome."""
    exit_code: int = ExitCode.OK


class Run:
    """One laundromat's run, measured: a row of VMHUB_OPS.runs."""

    def __init__(
        self,
        cnpj: str | None,
        command: str,
        as_of: datetime,
        *,
        fleet_run_id: str | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Begin a run.

        Args:
            cnpj: The laundromat; None: all of them together.
            command: What runs, such as build.
            as_of: The run's instant.
            fleet_run_id: The fleet run that it is part of; None: started by hand.
            clock: The machine's time.

        """
        self._cnpj = cnpj
        self._command = command
        self.as_of = as_of
        self._fleet_run_id = fleet_run_id
        self._clock = clock
        self._started_at = clock()
        self.steps: list[StepRecord] = []

    @contextmanager
    def step(self, name: str) -> Iterator[StepRecord]:
        """Measure a block as one step; yields the record that takes its counts."""
        step = StepRecord(name)
        began, cpu_began = time.monotonic(), time.process_time()
        try:
            yield step
        except BaseException as error:
            step.exit_code = exit_code_of(error)
            raise
        finally:
            step.seconds = round(time.monotonic() - began, 3)
            step.cpu_seconds = round(time.process_time() - cpu_began, 3)
            self.steps.append(step)

    def count_other(self, reads: int, writes: int) -> None:
        """Add what the whole run read from and wrote to Firestore beyond its steps' own counts.

        That is the registry, the lease, the search for something to do, and queries that found
        nothing, which Firestore bills, too.
        """
        other = StepRecord(
            "OTHER",
            documents_read=max(reads - sum(step.documents_read for step in self.steps), 0),
            writes_sent=max(writes - sum(step.writes_sent for step in self.steps), 0),
        )
        if other.documents_read or other.writes_sent:
            self.steps.append(other)

    def row(self, error: BaseException | None = None) -> dict[str, Any]:
        """Return the run's row as of now, with the error that ended it, if any."""
        steps, ended_at = self.steps, self._clock()
        exit_code = (
            max((step.exit_code for step in steps), default=ExitCode.OK)
            if error is None
            else exit_code_of(error)
        )
        return {
            "run_id": str(uuid.uuid4()),
            "fleet_run_id": self._fleet_run_id,
            "cnpj": self._cnpj,
            "command": self._command,
            "as_of": self.as_of.isoformat(),
            "started_at": self._started_at.isoformat(),
            "ended_at": ended_at.isoformat(),
            "exit_code": exit_code,
            "error": None if error is None else type(error).__name__,
            "reason": reason_of(error),
            "seconds": round((ended_at - self._started_at).total_seconds(), 3),
            "cpu_seconds": round(sum(step.cpu_seconds for step in steps), 3),
            "peak_memory_mib": peak_memory_mib(),
            "steps": json.dumps([asdict(step) for step in steps]),
        }


def peak_memory_mib() -> float:
    """Return this process's peak memory so far, in MiB."""
    # In KiB, except on macOS (https://man7.org/linux/man-pages/man2/getrusage.2.html).
    units_a_mib = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units_a_mib, 1)
