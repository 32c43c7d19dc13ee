"""`vmhub run --all` every hour on one machine: each run a process of its own.

A run that crashes or grows ends with its process, and the schedule goes on.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from loader.base.clock import now
from loader.base.environment import ALERT_URLS_VARIABLE
from loader.base.logs import LogFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from types import FrameType

__all__ = ["Child", "ChildCommand", "Schedule", "alert_child", "hourly", "run_child"]

_log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# time.sleep does not count the time in which the machine itself sleeps. So the clock is read often:
# a missed hour is then made up for soon, and a signal is seen at once.
_LOOK_SECONDS = 0.5
_A_MOMENT = timedelta(seconds=1)
_INTERRUPTED = {128 + number: f"interrupted by {number.name}" for number in _SIGNALS}
_RUN_CODES = {
    1: "all laundromats failed",
    2: "the configuration is wrong, nothing was run",
    3: "some laundromats failed or need a look",
    **_INTERRUPTED,
}
_ALERT_CODES = {
    1: "it could not check, or no receiver took an alert",
    2: "the configuration is wrong, no alert was sent",
    3: "something is open",
    **_INTERRUPTED,
}


@dataclass(frozen=True)
class ChildCommand:
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
        """Pass a signal on; does nothing if the process has ended."""


def run_child(
    log_format: LogFormat, *, jobs: int | None = None, time_limit: int | None = None
) -> ChildCommand:
    """Return the hourly run of all laundromats.

    Args:
        log_format: How its logs look.
        jobs: Laundromats served at a time; None: what `vmhub run` takes.
        time_limit: Seconds a laundromat may take; None: what `vmhub run` takes.

    """
    options = {"--jobs": jobs, "--time-limit": time_limit}
    given = [text for name, n in options.items() if n is not None for text in (name, str(n))]
    command = _vmhub(log_format, "run", "--all", *given)
    return ChildCommand("vmhub run --all", command, _RUN_CODES)


def alert_child(log_format: LogFormat) -> ChildCommand:
    """Return the check that sends alerts to the receivers in VMHUB_ALERT_URLS."""
    command = _vmhub(log_format, "status", "--alert")
    return ChildCommand("vmhub status --alert", command, _ALERT_CODES)


def hourly(minute: int) -> Callable[[datetime], datetime]:
    """Return a function that gives the next time this minute of an hour comes, from an instant on.

    It computes in UTC, since other time zones can skip or repeat hours.
    """

    def next_due(instant: datetime) -> datetime:
        due = instant.replace(minute=minute, second=0, microsecond=0)
        return due if due >= instant else due + timedelta(hours=1)

    return next_due


def start_process(command: Sequence[str]) -> Child:
    """Start a program with this process's output and environment.

    The child gets a process group of its own. Otherwise Ctrl-C would reach the child twice, from
    the terminal and from us, and a second signal ends it before it has finished.
    """
    environment = dict(os.environ)
    if "--alert" not in command:
        # The receivers' URLs are secrets: only the process that sends alerts has them.
        environment.pop(ALERT_URLS_VARIABLE, None)
    return subprocess.Popen(  # noqa: S603 - ours
        command, stdin=subprocess.DEVNULL, process_group=0, env=environment
    )


class Schedule:
    """Runs the commands of every hour, until a signal asks it to stop."""

    def __init__(
        self,
        commands: Sequence[ChildCommand],
        next_due: Callable[[datetime], datetime],
        *,
        start: Callable[[Sequence[str]], Child] = start_process,
        clock: Callable[[], datetime] = now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare a schedule; nothing is started yet.

        Args:
            commands: The commands of an hour; each one starts even if the one before failed.
            next_due: Returns when the next hour from an instant on is due.
            start: Starts a program.
            clock: Tells the time.
            sleep: Waits this many seconds.

        """
        self.received: int | None = None
        """The first signal."""
        self._commands = commands
        self._next_due = next_due
        self._start = start
        self._clock = clock
        self._sleep = sleep
        self._child: Child | None = None
        self._to_pass_on: deque[int] = deque()

    def run(self) -> int:
        """Run every hour until SIGINT or SIGTERM, then wait for the child; return the exit code.

        One run makes up for any number of missed hours. Every signal is passed on to the child; on
        a second one `vmhub run` ends at once.
        """
        with self._signals_taken():
            due = self._next_due(self._clock())
            _log.info("the next run begins at %s", f"{due:%Y-%m-%d %H:%M:%SZ}")
            while self._wait_until(due):
                # A second later, so that it is the hour after this one.
                due = self._next_due(self._clock() + _A_MOMENT)
                self.do_hour()
                if self._clock() >= due:
                    _log.warning("the last run ended after the next hour was due, which begins now")
        assert self.received is not None
        return 128 + self.received

    def do_hour(self) -> None:
        """Run the commands, one after the other."""
        for command in self._commands:
            if self.received is None:
                self._do(command)

    def stop(self, number: int, _frame: FrameType | None = None) -> None:
        """Start nothing more, and pass the signal on to the child; a signal handler."""
        self.received = self.received or number
        self._to_pass_on.append(number)
        self._pass_on()

    def _wait_until(self, due: datetime) -> bool:
        """Wait until an hour is due; return False if the schedule must stop instead."""
        while self.received is None and (left := due - self._clock()) > timedelta():
            self._sleep(min(left.total_seconds(), _LOOK_SECONDS))
        return self.received is None

    def _do(self, command: ChildCommand) -> None:
        try:
            child = self._start(command.command)
        except OSError as error:
            _log.error("%s could not be started: %s", command.name, error)
            return
        self._child = child
        # Pass on a signal that came before the child was known.
        self._pass_on()
        _log.info("%s has begun", command.name)
        code = child.wait()
        self._child = None
        if code == 0:
            _log.info("%s has ended", command.name)
        else:
            meaning = _meaning(command, code)
            _log.error("%s has ended with exit code %d: %s", command.name, code, meaning)

    def _pass_on(self) -> None:
        # Each signal once: the handler can run between any two steps of this method.
        while self._child is not None and self._to_pass_on:
            self._child.send_signal(self._to_pass_on.popleft())

    @contextmanager
    def _signals_taken(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.stop) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _vmhub(log_format: LogFormat, *arguments: str) -> tuple[str, ...]:
    options = () if log_format is LogFormat.TEXT else ("--log-format", log_format.value)
    return (sys.executable, "-m", "loader", *options, *arguments)


def _meaning(command: ChildCommand, code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return command.codes.get(code, "an exit code that is not ours")
