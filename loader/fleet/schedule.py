"""`vmhub run --all` every hour on one machine: each run a process of its own.

A run that crashes or grows ends with its process, and the schedule goes on.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from loader.base.clock import now
from loader.base.logs import LogFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["Child", "Runs", "Step", "alert_step", "hourly", "run_schedule", "run_step"]

_log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOK_SECONDS = 60
_A_MOMENT = timedelta(seconds=1)
_INTERRUPTED = {128 + number: f"interrupted by {number.name}" for number in _SIGNALS}
_RUN_CODES = {
    1: "all laundromats failed",
    2: "the configuration is wrong, nothing was run",
    3: "some laundromats failed or need a look",
    **_INTERRUPTED,
}
_ALERT_CODES = {
    1: "it could not look, or could not tell anybody",
    2: "the configuration is wrong, nobody was told",
    3: "something is open",
    **_INTERRUPTED,
}


@dataclass(frozen=True)
class Step:
    """A command of ours that runs in a process of its own."""

    name: str
    command: tuple[str, ...]
    """Program and arguments."""
    codes: Mapping[int, str]
    """What its exit codes other than 0 mean."""


class Child(Protocol):
    """A process that was started; `subprocess.Popen` is one."""

    def wait(self) -> int:
        """Return its exit code once it has ended, or minus the signal that ended it."""

    def send_signal(self, sig: int, /) -> None:
        """Pass a signal on; nothing happens when it has ended."""


class Trigger(Protocol):
    """Says when a run is due; APScheduler's triggers do."""

    def get_next_fire_time(self, previous: datetime | None, now: datetime, /) -> datetime | None:
        """Return the first instant from ``now`` on."""


def run_step(
    log_format: LogFormat, *, jobs: int | None = None, time_limit: int | None = None
) -> Step:
    """Return the hourly run of all laundromats.

    Args:
        log_format: How its logs look.
        jobs: Laundromats served at a time; None: what `vmhub run` takes.
        time_limit: Seconds a laundromat may take; None: what `vmhub run` takes.

    """
    options = {"--jobs": jobs, "--time-limit": time_limit}
    given = [text for name, n in options.items() if n is not None for text in (name, str(n))]
    return Step("vmhub run --all", _vmhub(log_format, "run", "--all", *given), _RUN_CODES)


def alert_step(log_format: LogFormat) -> Step:
    """Return the look at what is open, which tells those whom VMHUB_ALERT_URLS names."""
    return Step("vmhub status --alert", _vmhub(log_format, "status", "--alert"), _ALERT_CODES)


def hourly(minute: int) -> Trigger:
    """Return the trigger of a minute of every hour."""
    # Imported here: most commands do without it.
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415

    # UTC, since clocks of other zones skip or repeat hours.
    trigger: Trigger = CronTrigger(minute=minute, timezone=UTC)
    return trigger


def start_process(command: Sequence[str]) -> Child:
    """Start a program with this process's output and environment.

    In a process group of its own: Ctrl-C reaches a terminal's whole group, and with the one that
    is passed on the child would get two, of which the second ends it before it has finished.
    """
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)  # noqa: S603 - ours


class Runs:
    """One run after the other, until somebody asks for the end."""

    def __init__(
        self,
        steps: Sequence[Step],
        trigger: Trigger,
        *,
        start: Callable[[Sequence[str]], Child] = start_process,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Begin nothing yet.

        Args:
            steps: What an hour consists of; each begins however the one before ended.
            trigger: When hours are due.
            start: Starts a program.
            clock: Tells the time.

        """
        self.trigger = trigger
        self.received: int | None = None
        """The first signal."""
        self._steps = steps
        self._start = start
        self._clock = clock
        self._lock = threading.Lock()
        self._child: Child | None = None

    def tick(self) -> None:
        """Do the hour's steps, and once more for all hours that became due meanwhile."""
        while self.received is None:
            # The hour after this one, also for a clock that stands exactly at this one.
            due = self.trigger.get_next_fire_time(None, self._clock() + _A_MOMENT)
            for step in self._steps:
                self._do(step)
            if due is None or self.received is not None or self._clock() < due:
                return
            _log.warning("that took until after the next hour was due, which begins now")

    def stop(self, number: int) -> None:
        """Begin nothing any more, and pass the signal on to what runs."""
        with self._lock:
            self.received = self.received or number
            if self._child is not None:
                self._child.send_signal(number)

    def _do(self, step: Step) -> None:
        try:
            # With the lock, so that a signal finds the child or prevents it.
            with self._lock:
                if self.received is not None:
                    return
                self._child = child = self._start(step.command)
        except OSError as error:
            _log.error("%s could not be started: %s", step.name, error)
            return
        _log.info("%s has begun", step.name)
        code = child.wait()
        with self._lock:
            self._child = None
        if code == 0:
            _log.info("%s has ended", step.name)
        else:
            _log.error("%s has ended with exit code %d: %s", step.name, code, _meaning(step, code))


def run_schedule(runs: Runs) -> int:
    """Run every hour until SIGINT or SIGTERM, then wait for what runs; return the exit code.

    The signal is passed on, and so is a second one, which `vmhub run` takes as a wish to end at
    once.
    """
    from apscheduler.events import EVENT_SCHEDULER_STARTED  # noqa: PLC0415
    from apscheduler.executors.pool import ThreadPoolExecutor  # noqa: PLC0415

    pool = ThreadPoolExecutor(2)
    scheduler = scheduler_of(runs, pool)
    # The handlers only put: they come between any two steps of this thread, which may hold a lock.
    signals: SimpleQueue[int] = SimpleQueue()

    def listen() -> None:
        while True:
            runs.stop(signals.get())
            if scheduler.running:
                scheduler.shutdown(wait=False)

    listener = threading.Thread(target=listen, daemon=True)
    # Not before: a scheduler that has not started cannot be shut down.
    scheduler.add_listener(lambda _event: listener.start(), EVENT_SCHEDULER_STARTED)
    with _taken(signals.put):
        _log.info("the next run begins at %s", _at(runs.trigger))
        scheduler.start()
        pool.shutdown(wait=True)
    assert runs.received is not None
    return 128 + runs.received


def scheduler_of(runs: Runs, pool: Any) -> Any:
    """Return APScheduler's scheduler of the runs, not yet started."""
    from apscheduler.schedulers.blocking import BlockingScheduler  # noqa: PLC0415

    # However late and however many hours were missed: one run, now.
    late = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    scheduler = BlockingScheduler(timezone=UTC, executors={"default": pool}, job_defaults=late)
    scheduler.add_job(runs.tick, runs.trigger, id="run", name="the hourly run")
    # The time that a thread waits stands still while the machine sleeps: without looking at the
    # clock now and then, the run would come by as much later.
    scheduler.add_job(_nothing, "interval", seconds=_LOOK_SECONDS)
    return scheduler


def _nothing() -> None:
    pass


@contextmanager
def _taken(on_signal: Callable[[int], None]) -> Iterator[None]:
    before = {
        number: signal.signal(number, lambda received, _frame: on_signal(received))
        for number in _SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _vmhub(log_format: LogFormat, *arguments: str) -> tuple[str, ...]:
    options = () if log_format is LogFormat.TEXT else ("--log-format", log_format.value)
    return (sys.executable, "-m", "loader", *options, *arguments)


def _meaning(step: Step, code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return step.codes.get(code, "an exit code that is not ours")


def _at(trigger: Trigger) -> str:
    due = trigger.get_next_fire_time(None, now())
    return f"{due:%Y-%m-%d %H:%M:%SZ}" if due else "no time"
