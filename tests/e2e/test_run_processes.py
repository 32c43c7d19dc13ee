"""`vmhub run` as processes that are killed at any step, run twice at once, or share the fleet."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from loader.fleet.result import HourOutcome
from tests.e2e.test_run import server
from tests.faults.backends import EmulatorBackend
from tests.faults.server import FaultServer, Moment, Point, serving
from tests.fleet import cnpjs, load_texts, make_small
from tests.support import (
    AS_OF,
    documents,
    history,
    put_document,
    sent,
    start_vmhub,
    targets,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

    from loader.base.cnpj import Cnpj
    from loader.services import Services

# The shortest lease allowed: the tests wait until those of killed runs expire.
LEASE_SECONDS = 5


def state(services: Services, cnpj: Cnpj) -> dict[str, Any]:
    """Return everything that a run leaves of a laundromat, without its CNPJ."""
    return {
        "documents": {
            key: {name: value for name, value in fields.items() if name != "cnpj"}
            for key, fields in documents(services.environment, cnpj).items()
        },
        "targets": sorted(target._replace(cnpj="") for target in targets(services, cnpj)),
        "history": [
            {name: value for name, value in row.items() if name != "message_id"}
            for row in history(services, cnpj)
        ],
    }


def make(services: Services, cnpj: Cnpj) -> None:
    """Create a laundromat with a message to track, one to write and one to withdraw."""
    make_small(services, cnpj)
    load_texts(services, cnpj)
    put_document(services, "tracked", cnpj=cnpj, **sent())
    put_document(services, "without a row", cnpj=cnpj)


@dataclass
class Fleet:
    """Laundromats that are all alike, and the expected state of one after a run."""

    services: Services
    server: FaultServer
    cnpjs: Sequence[Cnpj]
    expected: dict[str, Any]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def begin(self, *arguments: str, jobs: int = 1) -> subprocess.Popen[str]:
        process = start_vmhub(
            self.services,
            *("run", "--all", "--jobs", str(jobs), "--as-of", AS_OF.isoformat(), "--json"),
            *("--lease", str(LEASE_SECONDS), *arguments),
            firestore_host=self.server.host,
        )
        self.processes.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> dict[str, int]:
        """Wait for a run, and return the number of laundromats by outcome."""
        out, errors = process.communicate(timeout=240)
        assert process.returncode in (0, 3), errors
        counts: dict[str, int] = json.loads(out)["counts"]
        return counts

    def complete(self) -> None:
        """Run until the leases of dead runs have expired."""
        for _ in range(10):
            counts = self.end(self.begin())
            if HourOutcome.BUSY not in counts:
                assert counts == {HourOutcome.OK: len(self.cnpjs)}
                return
        pytest.fail("a dead run's lease does not expire")

    def check(self) -> None:
        for cnpj in self.cnpjs:
            assert state(self.services, cnpj) == self.expected


@pytest.fixture
def fleet(services: Services) -> Iterator[Fleet]:
    assert services.environment.firestore_host is not None
    *names, model = cnpjs(3)
    for cnpj in (*names, model):
        make(services, cnpj)
    # One clean run of one laundromat, which then leaves the fleet.
    assert server(services, AS_OF).serve(model).outcome is HourOutcome.OK
    expected = state(services, model)
    assert set(expected["documents"]) == {
        ("BIRTHDAY", "customer-0"),
        ("BIRTHDAY", "customer-1"),
        ("REACTIVATION", "tracked"),
    }
    services.database.api.delete_document(
        name=services.database.path("users", model), metadata=services.database.metadata
    )
    emulator = EmulatorBackend(services.environment.firestore_host)
    with closing(emulator), serving(emulator) as faulty:
        fleet = Fleet(services, faulty, names, expected)
        yield fleet
        for process in fleet.processes:
            process.kill()
            process.wait()


POINTS = {
    "lease taken": ("Commit", 1),
    "tracked": ("Commit", 2),
    "written": ("BatchWrite", 1),
    "given back": ("Commit", 3),
}


def kill_cases() -> Iterator[Any]:
    for victim in ("parent", "worker"):
        for point in POINTS:
            marks = [] if (victim, point) == ("parent", "tracked") else [pytest.mark.large]
            yield pytest.param(victim, point, id=f"{victim}, {point}", marks=marks)


@pytest.mark.parametrize(("victim", "point"), list(kill_cases()))
def test_what_a_killed_process_left_the_next_run_completes(
    victim: str, point: str, fleet: Fleet
) -> None:
    workers: list[psutil.Process] = []

    def kill(at: Point) -> None:
        if (at.method, at.number, at.moment) != (*POINTS[point], Moment.AFTER):
            return
        workers.extend(
            child
            for child in psutil.Process(process.pid).children()
            if "spawn_main" in " ".join(child.cmdline())
        )
        for killed in [process] if victim == "parent" else workers:
            killed.kill()
            killed.wait()

    fleet.server.hook = kill
    process = fleet.begin()
    if victim == "parent":
        _, errors = process.communicate(timeout=240)
        assert process.returncode == -signal.SIGKILL, errors
        # Its workers do not outlive it.
        assert psutil.wait_procs(workers, timeout=60)[1] == []
    else:
        counts = fleet.end(process)
        assert counts == {HourOutcome.OK: len(fleet.cnpjs) - 1, HourOutcome.FAILED: 1}
    assert len(workers) == 1
    fleet.complete()
    fleet.check()


@pytest.mark.large
def test_two_runs_at_once_serve_each_laundromat_once(fleet: Fleet) -> None:
    processes = [fleet.begin(jobs=2), fleet.begin(jobs=2)]
    counts = [fleet.end(process) for process in processes]
    assert sum(count.get(HourOutcome.OK, 0) for count in counts) == len(fleet.cnpjs)
    assert {outcome for count in counts for outcome in count} <= {
        HourOutcome.OK,
        HourOutcome.BUSY,
        HourOutcome.DONE_ELSEWHERE,
    }
    fleet.check()


@pytest.mark.large
def test_three_shards_together_serve_the_fleet(fleet: Fleet) -> None:
    processes = [fleet.begin("--shard", f"{index}/3") for index in range(3)]
    counts = [fleet.end(process) for process in processes]
    assert sum(count.get(HourOutcome.OK, 0) for count in counts) == len(fleet.cnpjs)
    fleet.check()
