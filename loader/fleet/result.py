"""The result of a laundromat's hour, and what a run and its workers tell each other.

A module of its own, which imports next to nothing: these are what crosses between processes.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from loader.base.errors import ExitCode, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from loader.base.cnpj import Cnpj

__all__ = [
    "READY",
    "TIME_LIMIT_SIGNAL",
    "UNTOUCHED",
    "HourOutcome",
    "HourResult",
    "StoppedError",
    "TimeLimitError",
    "limit_reason",
    "requested",
]

READY = "READY"
"""A worker's first answer, if it can serve."""

TIME_LIMIT_SIGNAL = signal.SIGUSR1
"""Tells a worker that its laundromat has reached the time limit; SIGTERM asks the run to stop."""


class HourOutcome(StrEnum):
    """The outcome of a laundromat in a run; each has exactly one."""

    OK = "ok"
    PARTLY = "partly"
    """All was done, and there are rows or documents that somebody should look at."""
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    """It took longer than its time limit, and was stopped."""
    SKIPPED = "skipped"
    """Nothing may be sent now, and there is nothing to withdraw or to track."""
    BUSY = "busy"
    """Another run is serving it."""
    DONE_ELSEWHERE = "done_elsewhere"
    """Another run has served it since this one began."""
    INTERRUPTED = "interrupted"
    """The run was asked to stop while serving it; the step under way was finished."""
    NOT_STARTED = "not_started"
    """The run was asked to stop before serving it."""


# The laundromat was not touched, so there is nothing to record.
UNTOUCHED = frozenset(
    {HourOutcome.SKIPPED, HourOutcome.BUSY, HourOutcome.DONE_ELSEWHERE, HourOutcome.NOT_STARTED}
)


@dataclass(frozen=True)
class HourResult:
    """The result of one laundromat."""

    cnpj: str
    outcome: HourOutcome
    step: str = ""
    """The step at which it failed or was stopped, if it did not end well."""
    error: str = ""
    """The error's kind, such as ConfigurationError."""
    reason: str = ""
    """What went wrong and how to fix it."""
    seconds: float = 0.0
    peak_memory_mib: float = 0.0
    """Peak memory of its process so far."""
    not_recorded: str = ""
    """Why it is missing in VMHUB_OPS."""
    documents_read: int = 0
    """Read from Firestore without a row of VMHUB_OPS.runs: the laundromat was not touched."""
    writes_sent: int = 0
    """As documents_read."""
    is_lost: bool = False
    """Its process was killed: the parent must record it and release its lease."""


class StoppedError(RunError):
    """The run was asked to stop."""

    exit_code = ExitCode.INTERRUPTED


class TimeLimitError(RunError):
    """A laundromat took longer than its time limit."""


def limit_reason(limit_seconds: float, step: str) -> str:
    """Return the text of a TimeLimitError."""
    return f"ended after {limit_seconds:g} seconds, the limit, at {step}"


def requested(connection: Connection) -> Iterator[Cnpj]:
    """Say that this worker can serve, then yield each laundromat that its parent sends.

    It ends when the parent closes the connection.
    """
    connection.send(READY)
    while True:
        try:
            cnpj: Cnpj = connection.recv()
        except EOFError:
            return
        yield cnpj
