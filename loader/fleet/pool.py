"""The parent's side of a run's workers: hands out laundromats, enforces time limits, sees ends."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from loader.base.errors import RunError
from loader.fleet.result import (
    READY,
    TIME_LIMIT_SIGNAL,
    HourOutcome,
    HourResult,
    StoppedError,
    TimeLimitError,
    limit_reason,
)
from loader.fleet.worker import work

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from multiprocessing.connection import Connection

    from loader.base.cnpj import Cnpj
    from loader.base.interrupts import Interrupts
    from loader.fleet.worker import WorkerSetup

__all__ = ["Pool", "WorkerDiedError"]

_log = logging.getLogger(__name__)

# Seconds to finish writes under way after a laundromat's time limit.
_GRACE_SECONDS = 10.0
# Seconds to finish the steps under way when the run is asked to stop.
_DRAIN_SECONDS = 60.0
# Seconds for importing and parsing, on a machine that may be busy.
_START_SECONDS = 300.0
_STARTS = 3
_LOOK_SECONDS = 0.2


class WorkerDiedError(RunError):
    """A worker process ended without an answer."""


class Pool:
    """Serves laundromats by a fixed number of worker processes.

    A thread per worker hands it one laundromat at a time and waits for the answer. The workers
    share nothing, so one that hangs or is killed takes only its own laundromat with it.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        *,
        jobs: int,
        limit_seconds: float,
        interrupts: Interrupts,
        grace_seconds: float = _GRACE_SECONDS,
        drain_seconds: float = _DRAIN_SECONDS,
        work: Callable[[Connection, WorkerSetup], None] = work,
    ) -> None:
        """Start nothing yet.

        Args:
            setup: The settings of the workers.
            jobs: How many laundromats are served in parallel.
            limit_seconds: How long one laundromat may take.
            interrupts: Says whether a signal asked the run to stop.
            grace_seconds: How long a laundromat may finish its writes after its time limit.
            drain_seconds: How long laundromats under way may take after the run is asked to stop.
            work: The worker's main function; it must be importable by name.

        """
        self._setup = setup
        self._jobs = jobs
        self._limit_seconds = limit_seconds
        self._interrupts = interrupts
        self._grace_seconds = grace_seconds
        self._drain_seconds = drain_seconds
        self._work = work
        self.problem = ""
        """Why a worker could not be started; empty if all could."""
        self._waiting: deque[Cnpj] = deque()
        self._answers: SimpleQueue[HourResult | None] = SimpleQueue()
        self._workers: list[_Worker | None] = []
        self._is_stopped = False

    def serve(self, cnpjs: Iterable[Cnpj]) -> Generator[HourResult, None, None]:
        """Yield the result of each laundromat, in the order in which they end.

        The caller must close the generator, so that the workers stop if handling a result fails.
        """
        self._waiting.extend(cnpjs)
        running = min(self._jobs, len(self._waiting))
        self._workers = [None] * running
        threads = [threading.Thread(target=self._run_slot, args=(slot,)) for slot in range(running)]
        for thread in threads:
            thread.start()
        try:
            while running:
                if self._interrupts.received is not None:
                    self._stop()
                try:
                    answer = self._answers.get(timeout=_LOOK_SECONDS)
                except Empty:
                    continue
                if answer is None:
                    running -= 1
                else:
                    yield answer
        finally:
            self._stop()
            for thread in threads:
                thread.join()
        # The run was asked to stop, or no worker is left and none can be started.
        for cnpj in self._waiting:
            yield HourResult(cnpj, HourOutcome.NOT_STARTED)

    def _stop(self) -> None:
        """Start no more laundromats, and ask those under way to end soon."""
        if not self._is_stopped:
            self._is_stopped = True
            for worker in self._workers:
                if worker is not None:
                    worker.terminate(self._drain_seconds)

    def _run_slot(self, slot: int) -> None:
        """Serve laundromats with one worker, replaced when it ends; put None at the end."""
        worker: _Worker | None = None
        try:
            while not self._is_stopped:
                try:
                    cnpj = self._waiting.popleft()
                except IndexError:
                    break
                worker = self._workers[slot] = worker or self._started()
                if worker is None or self._is_stopped:
                    # Another slot can serve it.
                    self._waiting.appendleft(cnpj)
                    break
                self._answers.put(worker.serve(cnpj, self._limit_seconds))
                if worker.has_ended:
                    worker = self._workers[slot] = None
            if worker is not None:
                worker.close()
        finally:
            self._answers.put(None)

    def _started(self) -> _Worker | None:
        """Return a worker that is ready; None: the run must stop, or `problem` says why not."""
        for _ in range(_STARTS):
            try:
                worker = _Worker(self._setup, self._work, self._grace_seconds)
                problem = worker.wait_until_ready(lambda: self._is_stopped)
            except OSError as error:
                # The system has no more processes, files or memory.
                problem = f"{type(error).__name__}, {error.strerror}"
            else:
                if not problem:
                    return worker
            if self._is_stopped:
                return None
            _log.warning("a worker did not start: %s", problem)
        self.problem = f"no worker starts: {problem}"
        return None


class _Worker:
    """One worker process; used by one thread."""

    def __init__(
        self,
        setup: WorkerSetup,
        work: Callable[[Connection, WorkerSetup], None],
        grace_seconds: float,
    ) -> None:
        # Spawned, not forked: connections of gRPC do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, setup), daemon=True)
        self._process.start()
        # If the parent kept this end open, it would not notice that the worker ended.
        theirs.close()
        self.has_ended = False
        self._grace_seconds = grace_seconds
        self._step = ""
        self._drained_by: float | None = None
        self._is_told = False

    def wait_until_ready(self, is_stopped: Callable[[], bool]) -> str:
        """Return why the worker cannot serve; empty once it can."""
        until = time.monotonic() + _START_SECONDS
        answer = f"not ready after {_START_SECONDS:.0f} seconds"
        while time.monotonic() < until:
            if is_stopped():
                answer = "the run was asked to stop"
                break
            if self._connection.poll(_LOOK_SECONDS):
                try:
                    answer = self._connection.recv()
                except (EOFError, OSError):
                    answer = f"its process {self._ending()}"
                break
        if answer == READY:
            return ""
        self._kill()
        return answer

    def serve(self, cnpj: Cnpj, limit_seconds: float) -> HourResult:
        """Hand it a laundromat, and return the result."""
        began = time.monotonic()
        self._step = ""
        try:
            self._connection.send(cnpj)
            served = self._answer(began + limit_seconds)
        except Exception:  # noqa: BLE001 - whatever it says or does not, it is of no use any more
            reason = f"its process {self._ending()} at {self._step or 'its start'}"
            return self._lost(cnpj, began, HourOutcome.FAILED, WorkerDiedError, reason)
        if served is not None:
            return served
        if self._drained_by is not None:
            reason = f"asked to stop, but did not in time, at {self._step}"
            return self._lost(cnpj, began, HourOutcome.INTERRUPTED, StoppedError, reason)
        reason = limit_reason(limit_seconds, self._step)
        late = self._ended_late()
        if late is not None:
            # A worker that answers has recorded the laundromat itself.
            self._kill()
            return late
        return self._lost(cnpj, began, HourOutcome.TIMED_OUT, TimeLimitError, reason)

    def _ended_late(self) -> HourResult | None:
        self._tell(TIME_LIMIT_SIGNAL)
        try:
            return self._answer(time.monotonic() + self._grace_seconds)
        except Exception:  # noqa: BLE001 - as above
            return None

    def _lost(
        self, cnpj: Cnpj, began: float, outcome: HourOutcome, error: type[RunError], reason: str
    ) -> HourResult:
        self._kill()
        seconds = round(time.monotonic() - began, 3)
        return HourResult(
            cnpj, outcome, self._step, error.__name__, reason, seconds=seconds, is_lost=True
        )

    def _answer(self, until: float) -> HourResult | None:
        """Return the answer; None: there was none in time."""
        while (left := min(until, self._drained_by or until) - time.monotonic()) > 0:
            if not self._connection.poll(min(left, _LOOK_SECONDS)):
                continue
            message = self._connection.recv()
            if isinstance(message, HourResult):
                return message
            self._step = message
        return None

    def terminate(self, drain_seconds: float) -> None:
        """Ask it to end its laundromat within some seconds."""
        self._drained_by = time.monotonic() + drain_seconds
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        # Only once: a second signal would kill it in the middle of a write.
        if not self._is_told and self._process.pid is not None and self._process.is_alive():
            self._is_told = True
            os.kill(self._process.pid, number)

    def close(self) -> None:
        """Let it end: it has no more work."""
        self._connection.close()
        self._process.join(self._grace_seconds)
        self._kill()

    def _kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()
        self.has_ended = True

    def _ending(self) -> str:
        self._process.join(self._grace_seconds)
        code = self._process.exitcode
        if code is None:
            return "closed its connection"
        if -code in set(signal.Signals):
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with {code}"
