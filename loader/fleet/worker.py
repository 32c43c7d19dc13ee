"""A worker process, which serves laundromats one after another until the run ends.

dbt keeps state in modules and must not run in two threads of a process. So laundromats that are
served in parallel need a process each. A process lives long, since importing and parsing cost more
than serving a laundromat.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from loader.base.errors import VmhubError
from loader.base.interrupts import Interrupts
from loader.base.logs import configure_logs
from loader.dbt.runner import ParsedProject
from loader.firestore.lease import Leases
from loader.fleet.hour import HourRunner
from loader.fleet.result import TIME_LIMIT_SIGNAL, requested
from loader.services import Services

if TYPE_CHECKING:
    from datetime import datetime
    from multiprocessing.connection import Connection
    from pathlib import Path

    from loader.base.environment import Environment
    from loader.base.logs import LogFormat
    from loader.dbt.project import Project

__all__ = ["WorkerSetup", "work"]

_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker needs to know at its start."""

    project: Project
    environment: Environment
    state_dir: Path
    fleet_run_id: str
    since: datetime
    """Firestore's time at which the run began."""
    as_of: datetime | None
    """The run's instant; None: the time at which each laundromat's turn comes."""
    lease_seconds: float
    limit_seconds: float
    log_format: LogFormat


def work(connection: Connection, setup: WorkerSetup) -> None:
    """Serve the laundromats that come over a connection, until it is closed.

    First it sends `READY`, or why it cannot serve. Then it sends, for each laundromat, the name of
    each step as it begins, and a `HourResult` at the end.
    """
    interrupts = Interrupts()
    # A group of its own: Ctrl-C at the terminal reaches only the parent, which tells the workers.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Signals are noted at any time, so that a sync that has only read does not start to write.
    for number in (signal.SIGTERM, TIME_LIMIT_SIGNAL):
        signal.signal(number, interrupts.note)
    _end_with(os.getppid())
    configure_logs(setup.log_format)
    try:
        server = _runner(connection, setup, interrupts)
    except VmhubError as error:
        connection.send(str(error))
        return
    for cnpj in requested(connection):
        connection.send(server.serve(cnpj))


def _runner(connection: Connection, setup: WorkerSetup, interrupts: Interrupts) -> HourRunner:
    parsed = ParsedProject(setup.project, setup.state_dir / "dbt" / "parse")
    services = Services(setup.project, setup.environment, setup.state_dir, parsed)
    parsed.manifest(setup.environment)
    # dbt's parse is large and permanent: keep the garbage collector from scanning it again.
    gc.collect()
    gc.freeze()
    lasts = timedelta(seconds=setup.lease_seconds)
    return HourRunner(
        services,
        Leases(services.database, setup.fleet_run_id, lasts=lasts),
        fleet_run_id=setup.fleet_run_id,
        since=setup.since,
        as_of=setup.as_of,
        # Two renewals can fail before the lease expires.
        renew_seconds=setup.lease_seconds / 4,
        limit_seconds=setup.limit_seconds,
        interrupts=interrupts,
        on_step=connection.send,
    )


def _end_with(parent: int) -> None:
    """End this process as soon as its parent is gone; nobody else would end it if it hangs.

    The next run does what is missing, as after any other death of a process.
    """

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
