"""Run one server and end it with its owner: ``python -m loader.local.guard [--owned] -- COMMAND``.

The Firestore emulator is three processes deep (gcloud, a shell, Java): ending the first leaves the
last running. The guard puts the server into a process group of its own. It ends the whole group on
SIGTERM or SIGINT, or when the server ends by itself. With ``--owned`` it also ends the group when
its standard input closes: this is a pipe from the owner, and it closes however the owner ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_GRACE_SECONDS = 15


def main(arguments: list[str]) -> int:
    """Run the command after ``--`` and return its exit code."""
    split = arguments.index("--")
    is_owned, command = "--owned" in arguments[:split], arguments[split + 1 :]
    # A signal that came before there were handlers must still end the server, too.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    server = subprocess.Popen(  # noqa: S603 - the stack's own command
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=_unblock,  # noqa: PLW1509 - the guard has one thread yet
    )
    stopped = threading.Event()

    def stop(_signal: int = 0, _frame: FrameType | None = None) -> None:
        stopped.set()

    for number in _SIGNALS:
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if is_owned:
        threading.Thread(target=_wait_for_owner, args=(stopped,), daemon=True).start()
    while server.poll() is None and not stopped.wait(0.2):
        pass
    _end_group(server)
    return server.returncode or 0


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _wait_for_owner(stopped: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stopped.set()


def _end_group(server: subprocess.Popen[bytes]) -> None:
    """End the server's whole group: SIGTERM first, then SIGKILL."""
    for number, seconds in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, 5)):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            break
        try:
            server.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        if number is signal.SIGTERM and _group_ended(server.pid):
            return
    server.wait()


def _group_ended(group: int) -> bool:
    """Return whether every member of the group ends within the grace period."""
    waiter = threading.Event()
    for _ in range(_GRACE_SECONDS * 10):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        waiter.wait(0.1)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
