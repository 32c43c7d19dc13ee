"""The workers of a run, seen from their parent: who serves what, for how long, and how it ended."""

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
from loader.fleet.hour import (
    TIME_LIMIT_SIGNAL,
    HourOutcome,
    HourResult,
    StoppedError,
    TimeLimitError,
    limit_reason,
)
from loader.fleet.worker import READY, work

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from multiprocessing.connection import Connection

    from loader.base.cnpj import Cnpj
    from loader.base.interrupts import Interrupts
    from loader.fleet.worker import WorkerSetup

__all__ = ["Pool", "WorkerDiedError"]

_log = logging.getLogger(__name__)

# So long a laundromat that is ended may finish the writes it has begun.
_GRACE_SECONDS = 10.0
# So long those under way may finish their step when the run is told to end.
_DRAIN_SECONDS = 60.0
# Importing and parsing, on a machine that may be busy.
_START_SECONDS = 300.0
_STARTS = 3
_LOOK_SECONDS = 0.2


class WorkerDiedError(RunError):
    """A worker process ended without an answer."""


class Pool:
    """Serves laundromats by a fixed number of worker processes.

    A thread for each worker hands it a laundromat at a time and waits for the answer. The workers
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
            setup: What the workers are told.
            jobs: How many laundromats are served at a time.
            limit_seconds: How long one may take.
            interrupts: Says when the run is to end.
            grace_seconds: How long one that is ended may finish what it has begun.
            drain_seconds: How long those under way may take once the run is told to end.
            work: What a worker does; importable by name.

        """
        self._setup = setup
        self._jobs = jobs
        self._limit_seconds = limit_seconds
        self._interrupts = interrupts
        self._grace_seconds = grace_seconds
        self._drain_seconds = drain_seconds
        self._work = work
        self.problem = ""
        """Why a worker could not be started; empty while all could."""
        self._waiting: deque[Cnpj] = deque()
        self._answers: SimpleQueue[HourResult | None] = SimpleQueue()
        self._workers: list[_Worker | None] = []
        self._is_stopped = False

    def serve(self, cnpjs: Iterable[Cnpj]) -> Generator[HourResult, None, None]:
        """Yield what became of each laundromat, in the order in which they end.

        To be closed, so that nothing goes on when the taking of an answer fails.
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
        # The run was told to end, or no worker is left and none can be started.
        for cnpj in self._waiting:
            yield HourResult(cnpj, HourOutcome.NOT_STARTED)

    def _stop(self) -> None:
        """Begin no further laundromat, and let those under way end soon."""
        if not self._is_stopped:
            self._is_stopped = True
            for worker in self._workers:
                if worker is not None:
                    worker.terminate(self._drain_seconds)

    def _run_slot(self, slot: int) -> None:
        """Serve laundromats by one worker, replaced as needed; answer None at the end."""
        worker: _Worker | None = None
        try:
            while not self._is_stopped:
                try:
                    cnpj = self._waiting.popleft()
                except IndexError:
                    break
                worker = self._workers[slot] = worker or self._started()
                if worker is None or self._is_stopped:
                    # Another slot may serve it.
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
        """Return a worker that is ready; None: the run is to end, or `problem` says why not."""
        for _ in range(_STARTS):
            try:
                worker = _Worker(self._setup, self._work, self._grace_seconds)
                problem = worker.wait_until_ready(lambda: self._is_stopped)
            except OSError as error:
                # No further process, file or memory is to be had.
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
        # Kept open here, it would hide from us that the worker ended.
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
                answer = "the run is told to end"
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
        """Hand it a laundromat, and return what became of it."""
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
            reason = f"told to end, and did not in time, at {self._step}"
            return self._lost(cnpj, began, HourOutcome.INTERRUPTED, StoppedError, reason)
        reason = limit_reason(limit_seconds, self._step)
        late = self._ended_late()
        if late is not None:
            # What it says itself it has recorded itself.
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
        """Return the answer; None: it did not come in time."""
        while (left := min(until, self._drained_by or until) - time.monotonic()) > 0:
            if not self._connection.poll(min(left, _LOOK_SECONDS)):
                continue
            message = self._connection.recv()
            if isinstance(message, HourResult):
                return message
            self._step = message
        return None

    def terminate(self, drain_seconds: float) -> None:
        """Tell it to end its laundromat within some seconds."""
        self._drained_by = time.monotonic() + drain_seconds
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        # Once: a second signal would end it in the midst of a write.
        if not self._is_told and self._process.pid is not None and self._process.is_alive():
            self._is_told = True
            os.kill(self._process.pid, number)

    def close(self) -> None:
        """Let it end: it has nothing to do."""
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
