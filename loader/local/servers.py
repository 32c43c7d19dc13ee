"""One server of the stack: start it under a guard, wait for it, end it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from loader.base.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "LOCALHOST",
    "PYTHON_MODULE",
    "Server",
    "answers",
    "end_server",
    "free_port",
    "speaks_grpc",
    "start_server",
    "wait_until",
]

# -P: do not import a folder called loader in the user's current folder.
PYTHON_MODULE = (sys.executable, "-P", "-m")
LOCALHOST = "127.0.0.1"

_START_SECONDS = 90.0
_ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class Server:
    """A guard process; its start time distinguishes it from a later process with the same id."""

    pid: int
    started_at: float

    def process(self) -> psutil.Process | None:
        """Return the guard's process while it runs."""
        try:
            process = psutil.Process(self.pid)
        except psutil.NoSuchProcess:
            return None
        is_ours = abs(process.create_time() - self.started_at) < 1
        return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None


def start_server(
    command: list[str],
    log: Path,
    variables: dict[str, str],
    *,
    is_owned: bool,
    folder: Path | None = None,
) -> Server:
    """Start a command under a guard, with its output in a log file."""
    guard = [*PYTHON_MODULE, "loader.local.guard", *(["--owned"] if is_owned else [])]
    package_root = str(Path(__file__).resolve().parents[2])
    search_path = os.pathsep.join(
        part for part in (package_root, os.environ.get("PYTHONPATH")) if part
    )
    output: IO[bytes]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - commands of this module
            [*guard, "--", *command],
            # An owned guard ends when this pipe closes: when this process ends, for any reason.
            stdin=subprocess.PIPE if is_owned else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
            env={**os.environ, **variables, "PYTHONPATH": search_path},
        )
    if process.stdin is not None:
        _OWNED_PIPES.append(process.stdin)
    return Server(process.pid, psutil.Process(process.pid).create_time())


# Kept open until this process ends: closing a pipe ends its server.
_OWNED_PIPES: list[IO[bytes]] = []


def wait_until(server: Server, log: Path, what: str, is_ready: Callable[[], bool]) -> None:
    """Wait until a server is ready; raise a ServiceError that names its log when it is not."""
    deadline = time.monotonic() + _START_SECONDS
    while not is_ready():
        has_ended = server.process() is None
        if has_ended or time.monotonic() > deadline:
            problem = "ended while starting" if has_ended else "did not answer in time"
            message = f"{what} {problem}"
            raise ServiceError(message, hint=f"its log is {log}")
        time.sleep(0.05)


def end_server(server: Server) -> None:
    """End a guard and its server; does nothing if it has ended."""
    process = server.process()
    if process is None:
        return
    process.terminate()
    try:
        process.wait(40)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(5)


def answers(host: str) -> bool:
    """Return whether an HTTP server answers at ``host:port``."""
    try:
        with urlopen(f"http://{host}/", timeout=2) as response:  # nosec B310 # our own server
            return int(response.status) == 200  # noqa: PLR2004 - HTTP OK
    except (URLError, OSError):
        return False


def speaks_grpc(host: str) -> bool:
    """Return whether a gRPC server answers at ``host:port``."""
    # Imported here: only a stack with somebody else's Firestore needs it.
    import grpc  # noqa: PLC0415

    with grpc.insecure_channel(host) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_ANSWER_SECONDS)
        except grpc.FutureTimeoutError:
            return False
    return True


def free_port() -> int:
    """Return a port of the loopback interface that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind((LOCALHOST, 0))
        port: int = listener.getsockname()[1]
        return port
