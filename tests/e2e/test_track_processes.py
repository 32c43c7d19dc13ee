"""`vmhub track` as a process that is killed between any two steps, and as two at once."""

from __future__ import annotations

import signal
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.faults.backends import EmulatorBackend, RefusedCall
from tests.faults.server import Fault, FaultServer, Moment, Point, serving
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    NUMERIC_CNPJ,
    history,
    make_laundromat,
    put_document,
    sent,
    start_vmhub,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from loader.services import Services

CNPJS = (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ)
LATER = AS_OF + timedelta(hours=1)
CUSTOMERS = [f"customer {number}" for number in range(7)]


@dataclass
class Fleet:
    """Two laundromats with untracked messages; their Firestore is behind a server with faults."""

    services: Services
    server: FaultServer

    def begin_track(self) -> subprocess.Popen[str]:
        arguments = ("track", "--all", "--as-of", LATER.isoformat())
        return start_vmhub(self.services, *arguments, firestore_host=self.server.host)

    def watermarks(self) -> set[Any]:
        entries, _, _ = self.services.registry.fleet()
        return {entry.watermark.until for entry in entries}

    def check_all_is_recorded_once(self) -> None:
        for cnpj in CNPJS:
            rows = history(self.services, cnpj)
            assert [(row["user_id"], row["status"]) for row in rows] == [
                (customer_id, "SENT") for customer_id in CUSTOMERS
            ]
        assert self.watermarks() == {LATER}


@pytest.fixture
def fleet(services: Services) -> Iterator[Fleet]:
    assert services.environment.firestore_host is not None
    for cnpj in CNPJS:
        make_laundromat(services, cnpj)
    services.track(None, as_of=AS_OF)
    for cnpj in CNPJS:
        for customer_id in CUSTOMERS:
            put_document(services, customer_id, cnpj=cnpj, **sent())
    emulator = EmulatorBackend(services.environment.firestore_host)
    with closing(emulator), serving(emulator) as server:
        yield Fleet(services, server)


# Two queries read the registry, the third one the documents. The rows are merged between that query
# and the commit, which moves the watermarks.
@pytest.mark.parametrize(
    ("method", "number", "moment", "is_merged", "is_moved"),
    [
        ("RunQuery", 3, Moment.AFTER, False, False),
        ("Commit", 1, Moment.BEFORE, True, False),
        ("Commit", 1, Moment.AFTER, True, True),
    ],
    ids=["documents read", "rows merged", "watermarks moved"],
)
def test_a_process_that_is_killed_is_completed_by_the_next_run(
    method: str, number: int, moment: Moment, *, is_merged: bool, is_moved: bool, fleet: Fleet
) -> None:
    def kill(point: Point) -> None:
        if (point.method, point.number, point.moment) == (method, number, moment):
            process.kill()
            process.wait()
            if moment is Moment.BEFORE:
                raise RefusedCall(grpc.StatusCode.UNAVAILABLE, "its sender is dead")

    fleet.server.hook = kill
    process = fleet.begin_track()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    for cnpj in CNPJS:
        assert len(history(fleet.services, cnpj)) == (len(CUSTOMERS) if is_merged else 0)
    assert fleet.watermarks() == {LATER if is_moved else AS_OF}

    fleet.services.track(None, as_of=LATER)
    fleet.check_all_is_recorded_once()


def test_two_runs_at_once_leave_one_row_a_message(fleet: Fleet) -> None:
    processes = [fleet.begin_track() for _ in range(2)]
    ended = [(process.communicate(timeout=60), process.returncode) for process in processes]
    assert [code for _, code in ended] == [0, 0], ended
    fleet.check_all_is_recorded_once()


@pytest.mark.parametrize("is_full", [False, True])
def test_a_reading_that_breaks_off_goes_on_behind_its_last_document(
    fleet: Fleet, *, is_full: bool
) -> None:
    # The registry's two queries come first; every later query breaks off once.
    fleet.server.plan = [Fault("RunQuery", Moment.MIDDLE, calls=range(3, 1000, 2))]
    environment = replace(fleet.services.environment, firestore_host=fleet.server.host)
    services = replace(fleet.services, environment=environment)
    report = services.track(None, as_of=LATER, is_full=is_full)
    assert report.documents_read == len(CNPJS) * len(CUSTOMERS)
    assert fleet.server.traffic.calls["RunQuery"] >= 4
    fleet.check_all_is_recorded_once()
