"""Starting, finding and ending the local stack; the guard leaves no process behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import psutil
import pytest

from loader.base.errors import ConfigurationError, ExitCode
from loader.local.servers import Server
from loader.local.stack import FirestoreKind, LocalStack, load_stack, start_stack, stop_stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from loader.dbt.project import Project

PATIENCE_SECONDS = 15.0

# A server as deep as Google's: a shell, a shell inside it, and in that the real process.
DEEP_SERVER = 'sh -c \'sleep 600 & echo $! > "$0"; wait\' "$0" & wait'
# A server that ends at once and leaves a process of its group behind.
LEAVING_SERVER = 'sleep 600 & echo $! > "$0"; exit 7'

OWNER = """
import subprocess, sys, time
guard = subprocess.Popen(
    [sys.executable, "-m", "loader.local.guard", *sys.argv[1:]], stdin=subprocess.PIPE
)
print(guard.pid, flush=True)
time.sleep(600)
"""


def _wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def _cleaned_up(*processes: psutil.Process) -> Iterator[None]:
    """End processes that a failing test would leave behind."""
    try:
        yield
    finally:
        for process in processes:
            if not _has_ended(process):
                process.kill()


def _grandchild(pid_file: Path) -> psutil.Process:
    assert _wait_until(lambda: pid_file.exists() and pid_file.read_text().strip() != "")
    return psutil.Process(int(pid_file.read_text()))


def _start_guard(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "loader.local.guard", *arguments], stdin=subprocess.PIPE
    )


def _start_owner(pid_file: Path, *options: str) -> tuple[subprocess.Popen[str], psutil.Process]:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, *options, "--", "sh", "-c", DEEP_SERVER, str(pid_file)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    return owner, psutil.Process(int(owner.stdout.readline()))


# The guard


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM], ids=lambda s: s.name)
def test_an_owned_server_ends_with_its_owner_down_to_the_last_process(
    signal_: signal.Signals, tmp_path: Path
) -> None:
    owner, guard = _start_owner(tmp_path / "pid", "--owned")
    with owner, _cleaned_up(guard, psutil.Process(owner.pid)):
        grandchild = _grandchild(tmp_path / "pid")
        with _cleaned_up(grandchild):
            owner.send_signal(signal_)
            owner.wait(PATIENCE_SECONDS)
            assert _wait_until(lambda: _has_ended(grandchild))
            assert _wait_until(lambda: _has_ended(guard))


def test_a_server_that_nobody_owns_outlives_its_starter_and_ends_when_told(tmp_path: Path) -> None:
    owner, guard = _start_owner(tmp_path / "pid")
    with owner, _cleaned_up(guard, psutil.Process(owner.pid)):
        grandchild = _grandchild(tmp_path / "pid")
        with _cleaned_up(grandchild):
            owner.kill()
            owner.wait(PATIENCE_SECONDS)
            time.sleep(0.5)
            assert not _has_ended(guard)
            assert not _has_ended(grandchild)
            guard.terminate()
            assert _wait_until(lambda: _has_ended(grandchild))
            assert _wait_until(lambda: _has_ended(guard))


@pytest.mark.parametrize("options", [[], ["--owned"]], ids=["not owned", "owned"])
def test_a_guard_that_is_told_to_stop_ends_its_servers_whole_group(
    options: list[str], tmp_path: Path
) -> None:
    # In parallel, since a group takes some time to end.
    with ExitStack() as cleanup:
        guards, grandchildren = [], []
        signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        for signal_ in signals:
            pid_file = tmp_path / signal_.name
            guard = _start_guard(*options, "--", "sh", "-c", DEEP_SERVER, str(pid_file))
            cleanup.enter_context(guard)
            cleanup.enter_context(_cleaned_up(psutil.Process(guard.pid)))
            guards.append(guard)
            grandchildren.append(_grandchild(pid_file))
            cleanup.enter_context(_cleaned_up(grandchildren[-1]))
        for guard, signal_ in zip(guards, signals, strict=True):
            guard.send_signal(signal_)
        for guard, grandchild in zip(guards, grandchildren, strict=True):
            guard.wait(PATIENCE_SECONDS)
            assert _has_ended(grandchild)


def test_a_guard_whose_server_ends_clears_up_behind_it_and_passes_its_exit_code_on(
    tmp_path: Path,
) -> None:
    pid_file = tmp_path / "pid"
    guard = _start_guard("--", "sh", "-c", LEAVING_SERVER, str(pid_file))
    with guard, _cleaned_up(psutil.Process(guard.pid)):
        left = _grandchild(pid_file)
        with _cleaned_up(left):
            assert guard.wait(PATIENCE_SECONDS) == 7
            assert _wait_until(lambda: _has_ended(left))


# Finding a stack


def _write_state(state_dir: Path, *servers: Server) -> None:
    stack = LocalStack(
        state_dir=state_dir,
        project="vmhub-local-test",
        firestore_host="127.0.0.1:1",
        bigquery_url="http://127.0.0.1:1",
        bigquery_storage_host="127.0.0.1:1",
        whatsapp_url="http://127.0.0.1:1",
        servers=servers,
    )
    state = {**asdict(stack), "state_dir": str(state_dir)}
    (state_dir / "stack.json").write_text(json.dumps(state), encoding="utf-8")


def test_where_no_stack_was_started_none_is_found(tmp_path: Path) -> None:
    assert load_stack(tmp_path) is None
    assert load_stack(tmp_path / "not there") is None


def test_a_stack_whose_processes_are_gone_does_not_run(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        server = Server(process.pid, psutil.Process(process.pid).create_time())
        _write_state(tmp_path, server)
        running = load_stack(tmp_path)
        process.kill()
    gone = load_stack(tmp_path)
    assert gone is not None
    assert gone == running
    assert not gone.is_running()
    stop_stack(gone)
    assert load_stack(tmp_path) is None


def test_a_stack_of_which_one_server_is_gone_does_not_run(tmp_path: Path) -> None:
    alive = Server(os.getpid(), psutil.Process().create_time())
    _write_state(tmp_path, alive)
    whole = load_stack(tmp_path)
    assert whole is not None
    assert whole.is_running()
    _write_state(tmp_path, alive, Server(os.getpid(), 0.0))
    half = load_stack(tmp_path)
    assert half is not None
    assert not half.is_running()


def test_a_later_process_with_the_same_id_is_not_ended(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            started_at = psutil.Process(process.pid).create_time()
            _write_state(tmp_path, Server(process.pid, started_at - 3600))
            stack = load_stack(tmp_path)
            assert stack is not None
            stop_stack(stack)
            time.sleep(0.1)
            assert process.poll() is None
        finally:
            process.kill()


def test_a_running_stack_is_found_by_its_folder_with_all_its_addresses(stack: LocalStack) -> None:
    found = load_stack(stack.state_dir)
    assert found == stack
    assert found.is_running()
    environment = found.environment()
    assert environment.is_local
    assert environment.firestore_host == stack.firestore_host
    assert environment.profiles_dir is not None
    assert (environment.profiles_dir / "profiles.yml").is_file()


def test_a_second_stack_in_the_same_folder_is_refused(stack: LocalStack, project: Project) -> None:
    with pytest.raises(ConfigurationError, match="already runs") as refused:
        stop_stack(start_stack(project, stack.state_dir, firestore_host=stack.firestore_host))
    assert "vmhub local down" in refused.value.hint
    assert stack.is_running()


# What a stack needs


def _unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _assert_refused(
    project: Project, state_dir: Path, text: str, *, firestore_host: str | None = None
) -> None:
    before = set(psutil.Process().children(recursive=True))
    kind = FirestoreKind.GOOGLE
    with pytest.raises(ConfigurationError, match=text) as refused:
        # If it starts after all, end it at once.
        stop_stack(start_stack(project, state_dir, firestore=kind, firestore_host=firestore_host))
    assert refused.value.exit_code == ExitCode.CONFIGURATION
    assert refused.value.hint
    assert set(psutil.Process().children(recursive=True)) <= before
    assert load_stack(state_dir) is None


def test_a_named_firestore_emulator_that_does_not_answer_is_refused(
    project: Project, tmp_path: Path
) -> None:
    host = f"127.0.0.1:{_unused_port()}"
    _assert_refused(project, tmp_path, f"FIRESTORE_EMULATOR_HOST is {host}", firestore_host=host)


def _provide(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)


def test_a_machine_without_java_is_told_so(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _provide(tmp_path / "bin", "gcloud")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert shutil.which("gcloud")
    _assert_refused(project, tmp_path / "state", "`java`")


def test_a_machine_without_gcloud_is_told_so(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _provide(tmp_path / "bin", "java")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    _assert_refused(project, tmp_path / "state", "`gcloud`")


def test_a_machine_without_the_emulator_component_is_told_so(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdk = tmp_path / "google-cloud-sdk"
    _provide(sdk / "bin", "java", "gcloud")
    (sdk / "platform").mkdir()
    monkeypatch.setenv("PATH", str(sdk / "bin"))
    _assert_refused(project, tmp_path / "state", "lacks the Firestore emulator")
