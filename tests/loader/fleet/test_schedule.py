"""The schedule starts one run after another, passes on signals, and survives failures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from loader.base.errors import ConfigurationError
from loader.base.logs import LogFormat
from loader.cli.app import app
from loader.fleet.schedule import ChildCommand, Schedule, alert_child, hourly, run_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

BEGAN = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
RUN = ChildCommand("run", ("run",), {3: "some failed"})
ALERT = ChildCommand("alert", ("alert",), {3: "something is open"})
PATIENCE = 60
"""Seconds after which a waiting test fails."""


@dataclass
class FakeChild:
    """Ends with the given code, once the test allows it."""

    code: int = 0
    may_end: threading.Event = field(default_factory=threading.Event)
    signals: list[int] = field(default_factory=list)

    def wait(self) -> int:
        assert self.may_end.wait(PATIENCE)
        return self.code

    def send_signal(self, sig: int, /) -> None:
        self.signals.append(sig)


@dataclass
class FakeMachine:
    """Starts children that end at once, with a simulated clock."""

    codes: list[int] = field(default_factory=list)
    now: datetime = BEGAN
    takes: list[timedelta] = field(default_factory=list)
    started: list[tuple[str, ...]] = field(default_factory=list)

    def clock(self) -> datetime:
        return self.now

    def start(self, command: Sequence[str]) -> FakeChild:
        self.started.append(tuple(command))
        self.now += self.takes.pop(0) if self.takes else timedelta(minutes=1)
        child = FakeChild(self.codes.pop(0) if self.codes else 0)
        child.may_end.set()
        return child

    def play(self, *commands: ChildCommand, until: datetime) -> None:
        """Play the schedule up to an instant; simulated sleeps take no real time."""

        def sleep(seconds: float) -> None:
            self.now += timedelta(seconds=seconds)
            if self.now >= until:
                schedule.stop(signal.SIGTERM)

        schedule = Schedule(commands, hourly(5), start=self.start, clock=self.clock, sleep=sleep)
        assert schedule.run() == 128 + signal.SIGTERM


# What is started


def test_a_run_is_this_interpreters_vmhub_with_the_options_of_the_schedule() -> None:
    vmhub = (sys.executable, "-m", "loader")
    assert run_child(LogFormat.TEXT).command == (*vmhub, "run", "--all")
    given = run_child(LogFormat.JSON, jobs=4, time_limit=900).command
    options = ("--jobs", "4", "--time-limit", "900")
    assert given == (*vmhub, "--log-format", "json", "run", "--all", *options)
    assert alert_child(LogFormat.JSON).command == (
        *(*vmhub, "--log-format", "json"),
        *("status", "--alert"),
    )


def test_it_is_due_at_a_minute_of_every_hour() -> None:
    next_due = hourly(5)
    assert next_due(BEGAN) == BEGAN
    assert next_due(BEGAN + timedelta(seconds=1)) == BEGAN + timedelta(hours=1)
    assert next_due(BEGAN - timedelta(minutes=1)) == BEGAN
    last = datetime(2026, 12, 31, 23, 6, tzinfo=UTC)
    assert next_due(last) == datetime(2027, 1, 1, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("codes", [[0, 0], [3, 3], [1, 0], [-9, 2], [77, 0]])
def test_the_look_at_what_is_open_comes_after_a_run_that_failed_too(codes: list[int]) -> None:
    machine = FakeMachine(codes=codes)
    machine.play(RUN, ALERT, until=BEGAN + timedelta(minutes=30))
    assert machine.started == [("run",), ("alert",)]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (3, "run has ended with exit code 3: some failed"),
        (-9, "run has ended with exit code -9: killed by SIGKILL"),
        (77, "run has ended with exit code 77: an exit code that is not ours"),
    ],
)
def test_a_failure_is_logged_with_its_meaning(
    caplog: pytest.LogCaptureFixture, code: int, said: str
) -> None:
    FakeMachine(codes=[code]).play(RUN, until=BEGAN + timedelta(minutes=30))
    assert said in [record.message for record in caplog.records if record.levelname == "ERROR"]


def test_a_program_that_cannot_be_started_does_not_end_the_schedule(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="loader")
    missing = ChildCommand("run", (str(tmp_path / "missing"),), {})
    there = ChildCommand("alert", (sys.executable, "-c", ""), {})
    Schedule([missing, there], hourly(5)).do_hour()
    assert "run could not be started" in caplog.text
    assert "alert has ended" in caplog.text


# Hours that are missed


def test_a_run_that_takes_three_hours_is_followed_by_one_more_and_not_by_three() -> None:
    machine = FakeMachine(takes=[timedelta(hours=3, minutes=10)])
    machine.play(RUN, until=BEGAN + timedelta(hours=3, minutes=40))
    assert machine.started == [("run",), ("run",)]


def test_a_run_that_takes_less_than_an_hour_is_followed_by_none() -> None:
    machine = FakeMachine(takes=[timedelta(minutes=59)])
    machine.play(RUN, until=BEGAN + timedelta(minutes=59, seconds=30))
    assert machine.started == [("run",)]


def test_hours_that_were_slept_through_are_made_up_for_by_one_run() -> None:
    machine = FakeMachine(now=BEGAN - timedelta(minutes=5))
    naps = iter([timedelta(hours=5)])

    def sleep(seconds: float) -> None:
        # Like a machine that goes to sleep before an hour and wakes up five hours later.
        machine.now += next(naps, timedelta(seconds=seconds))
        if machine.now >= BEGAN + timedelta(hours=5, minutes=30):
            schedule.stop(signal.SIGTERM)

    schedule = Schedule([RUN], hourly(5), start=machine.start, clock=machine.clock, sleep=sleep)
    schedule.run()
    # One run for the five hours, and one for the next hour.
    assert machine.started == [("run",), ("run",)]


# Signals, with fakes


def _in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_each_signal_is_passed_on_once_and_nothing_begins_after_the_first() -> None:
    child, is_started = FakeChild(), threading.Event()
    started = []

    def start(command: Sequence[str]) -> FakeChild:
        started.append(tuple(command))
        is_started.set()
        return child

    runs = Schedule([RUN, ALERT], hourly(5), start=start, clock=lambda: BEGAN)
    thread = _in_thread(runs.do_hour)
    assert is_started.wait(PATIENCE)
    runs.stop(signal.SIGTERM)
    assert child.signals == [signal.SIGTERM]
    assert thread.is_alive()
    runs.stop(signal.SIGINT)
    assert child.signals == [signal.SIGTERM, signal.SIGINT]
    child.may_end.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    runs.do_hour()
    assert started == [("run",)]
    assert runs.received == signal.SIGTERM


# Signals, with processes

SCHEDULE = """
import sys
from datetime import timedelta
from loader.base.logs import LogFormat, configure_logs
from loader.fleet.schedule import ChildCommand, Schedule

configure_logs(LogFormat.TEXT)
codes = {1: "as it was told to"}
commands = [ChildCommand("child", (sys.executable, "-c", text), codes) for text in sys.argv[1:]]
next_second = lambda instant: instant.replace(microsecond=0) + timedelta(seconds=1)
sys.exit(Schedule(commands, next_second).run())
"""
"""A schedule with an hour every second; its commands are the given programs."""

DRAINS = """
import pathlib, signal, sys, time
here = pathlib.Path.cwd()
received = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _frame: received.append(number))
(here / f"began-{time.monotonic_ns()}").touch()
while not (here / "may-end").exists():
    time.sleep(0.01)
    (here / "seen").write_text(" ".join(map(str, received)))
(here / "ended").touch()
"""
"""Records each signal, and ends when the test allows it."""

COUNTS = """
import pathlib, sys, time
pathlib.Path(f"began-{time.monotonic_ns()}").touch()
sys.exit(1)
"""


@pytest.fixture
def start_schedule(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*programs: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", SCHEDULE, *programs],
                cwd=tmp_path,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    # Only after a failed test is there anything left to end.
    (tmp_path / "may-end").touch()
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _wait(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _began(folder: Path) -> int:
    return len(list(folder.glob("began-*")))


def _seen(folder: Path) -> str:
    return (folder / "seen").read_text() if (folder / "seen").exists() else ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_the_run_is_waited_for_and_nothing_else_begins(
    start_schedule: Callable[..., subprocess.Popen[str]], tmp_path: Path, number: signal.Signals
) -> None:
    process = start_schedule(DRAINS, COUNTS)
    _wait(lambda: _began(tmp_path))
    process.send_signal(number)
    _wait(lambda: _seen(tmp_path))
    assert process.poll() is None
    second = signal.SIGINT if number is signal.SIGTERM else signal.SIGTERM
    process.send_signal(second)
    _wait(lambda: _seen(tmp_path) == f"{number:d} {second:d}")
    assert process.poll() is None
    (tmp_path / "may-end").touch()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number, err
    assert (tmp_path / "ended").exists()
    assert _began(tmp_path) == 1
    assert "Traceback" not in err


def test_a_run_that_outlasts_the_next_hours_is_not_overtaken(
    start_schedule: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start_schedule(DRAINS)
    _wait(lambda: _began(tmp_path))
    # It is due every second: two hours pass.
    time.sleep(2.2)
    assert _began(tmp_path) == 1
    process.terminate()
    _wait(lambda: _seen(tmp_path))
    (tmp_path / "may-end").touch()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM
    assert _began(tmp_path) == 1


def test_the_schedule_goes_on_after_runs_that_failed(
    start_schedule: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start_schedule(COUNTS)
    _wait(lambda: _began(tmp_path) >= 3)
    process.terminate()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM
    assert "child has ended with exit code 1: as it was told to" in err


# The command

SOMEWHERE = {
    "GOOGLE_CLOUD_PROJECT": "test-nobody",
    "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1",
    "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1",
    "BIGQUERY_STORAGE_EMULATOR_HOST": "127.0.0.1:1",
}


def test_the_command_says_when_it_will_run_and_ends_on_a_signal_with_its_code() -> None:
    # A minute that does not come during the test.
    minute = str((datetime.now(UTC).minute + 30) % 60)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "loader", "--log-format", "json"),
            *("schedule", "--minute", minute, "--jobs", "2", "--no-alert"),
        ],
        env={**os.environ, **SOMEWHERE},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        first = json.loads(process.stderr.readline())
        assert first["message"].startswith("the next run begins at ")
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        ([], {"GOOGLE_CLOUD_PROJECT": ""}, "GOOGLE_CLOUD_PROJECT is not set"),
        (["--alert"], {"VMHUB_ALERT_URLS": ""}, "VMHUB_ALERT_URLS is not set"),
    ],
)
def test_a_machine_that_is_not_set_up_is_told_so_at_once(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], variables: dict[str, str], said: str
) -> None:
    for name, value in {**SOMEWHERE, **variables}.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["schedule", *arguments])
    assert isinstance(result.exception, ConfigurationError)
    assert said in result.exception.message
