"""Workers for the tests of the pool.

Each is a process that imports this module, so it imports little.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loader.base.cnpj import with_check_digits
from loader.fleet.result import TIME_LIMIT_SIGNAL, HourOutcome, HourResult, requested

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

CNPJS = [with_check_digits(f"{11_000_000 + number}0001") for number in range(5)]
ODD = CNPJS[2]
"""The laundromat at which a worker does something else than to answer."""


def answer(connection: Connection, _setup: Any) -> None:
    serve(connection, lambda: None)


def hang(connection: Connection, _setup: Any) -> None:
    signal.signal(TIME_LIMIT_SIGNAL, signal.SIG_IGN)
    serve(connection, lambda: time.sleep(3600))


def die(connection: Connection, _setup: Any) -> None:
    serve(connection, lambda: os.kill(os.getpid(), signal.SIGKILL))


def cannot_start(connection: Connection, _setup: Any) -> None:
    connection.send("dbt parse: it does not compile")


def finish_when_told(connection: Connection, setup: Any) -> None:
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))

    def wait() -> None:
        Path(setup).touch()
        while not told:
            time.sleep(0.01)

    serve(connection, wait, outcome=HourOutcome.INTERRUPTED)


def serve(
    connection: Connection, odd: Callable[[], None], outcome: HourOutcome = HourOutcome.OK
) -> None:
    """Answer for every laundromat; for one of them do something else first."""
    for cnpj in requested(connection):
        connection.send("BUILD")
        if cnpj == ODD:
            odd()
        connection.send(HourResult(cnpj, outcome if cnpj == ODD else HourOutcome.OK))


def answer_late(connection: Connection, _setup: Any) -> None:
    told: list[bool] = []
    signal.signal(TIME_LIMIT_SIGNAL, lambda *_: told.append(True))

    def wait() -> None:
        while not told:
            time.sleep(0.01)

    serve(connection, wait)


def hang_when_told(connection: Connection, setup: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def wait() -> None:
        Path(setup).touch()
        time.sleep(3600)

    serve(connection, wait)
