"""`vmhub sync` as a process that is killed between any two requests."""

from __future__ import annotations

import json
import signal
import threading
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.cloud.firestore_v1.base_query import FieldFilter

from loader.sync.model import Outcome
from loader.sync.run import SyncOptions
from tests.faults.backends import EmulatorBackend, RefusedCall
from tests.faults.server import FaultServer, Moment, Point, serving
from tests.loader.published import publish_many
from tests.support import AS_OF, NUMERIC_CNPJ, official_client, start_vmhub

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from loader.services import Services
    from loader.sync.run import SyncReport

# Requests take 500 writes each, and four are under way at a time.
_BATCH = 500
_ARGUMENTS = ("--cnpj", NUMERIC_CNPJ, "--as-of", AS_OF.isoformat())


@dataclass
class Laundromat:
    """A published laundromat, with its Firestore behind a server with faults."""

    services: Services
    server: FaultServer

    def begin_sync(self) -> subprocess.Popen[str]:
        return start_vmhub(
            self.services, "sync", "--json", *_ARGUMENTS, firestore_host=self.server.host
        )

    def sync(self) -> SyncReport:
        return self.services.sync(
            self.services.laundromat(NUMERIC_CNPJ), as_of=AS_OF, options=SyncOptions()
        )

    def written(self) -> int:
        """Return how many documents are pending."""
        targets = official_client(self.services.environment).collection(
            "users", NUMERIC_CNPJ, "campaigns", "BIRTHDAY", "targets"
        )
        pending: Any = targets.where(filter=FieldFilter("status", "==", "PENDING"))
        return int(pending.count().get()[0][0].value)


@pytest.fixture
def laundromat(services: Services) -> Iterator[Laundromat]:
    assert services.environment.firestore_host is not None
    services.warehouse.create_dataset(f"{NUMERIC_CNPJ}_CAMPAIGN", description="Test rows.")
    services.registry.register(
        NUMERIC_CNPJ, name="Lavanderia de Teste", timezone=None, campaign_types=["BIRTHDAY"]
    )
    emulator = EmulatorBackend(services.environment.firestore_host)
    with closing(emulator), serving(emulator) as server:
        yield Laundromat(services, server)


@pytest.mark.parametrize(("number", "moment"), [(1, Moment.AFTER), (2, Moment.AFTER)], ids=str)
def test_a_process_that_is_killed_between_two_batches_is_completed_by_the_next_run(
    number: int, moment: Moment, laundromat: Laundromat
) -> None:
    # All batches have one size, since requests arrive in any order.
    count = 3 * _BATCH
    publish_many(laundromat.services.warehouse, NUMERIC_CNPJ, count)
    turns = [threading.Event() for _ in range(number + 2)]
    turns[1].set()
    killed = threading.Event()

    def kill(point: Point) -> None:
        """Let batches pass one by one, until the one at which the process is killed."""
        if point.method != "BatchWrite":
            return
        if point.number > number:
            assert killed.wait(60)
        elif point.moment is Moment.BEFORE:
            assert turns[point.number].wait(60)
        if (point.number, point.moment) == (number, moment):
            process.kill()
            process.wait()
            killed.set()
        if killed.is_set() and point.moment is Moment.BEFORE:
            raise RefusedCall(grpc.StatusCode.UNAVAILABLE, "its sender is dead")
        if point.moment is Moment.AFTER:
            turns[point.number + 1].set()

    laundromat.server.hook = kill
    process = laundromat.begin_sync()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors
    assert laundromat.written() == _BATCH * (number - (moment is Moment.BEFORE))
    missing = count - laundromat.written()
    report = laundromat.sync()
    assert report.total(Outcome.CREATED) == missing
    assert report.total(Outcome.UNCHANGED) == count - missing
    assert laundromat.written() == count


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda it: it.name)
def test_a_process_that_is_told_to_end_finishes_what_it_began_and_says_what_it_left(
    number: signal.Signals, laundromat: Laundromat
) -> None:
    count = 6 * _BATCH
    publish_many(laundromat.services.warehouse, NUMERIC_CNPJ, count)

    def interrupt(point: Point) -> None:
        if (point.method, point.number, point.moment) == ("BatchWrite", 1, Moment.AFTER):
            process.send_signal(number)

    laundromat.server.hook = interrupt
    process = laundromat.begin_sync()
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number, errors
    (campaign,) = [item for item in json.loads(output)["campaigns"] if item["rows_read"]]
    outcomes = campaign["outcomes"]
    assert campaign["rows_read"] == count
    assert set(outcomes) == {"created", "deferred"}
    assert outcomes["created"] == laundromat.written()
    assert outcomes["created"] + outcomes["deferred"] == count
    (recorded,) = laundromat.services.warehouse.query(
        "select exit_code, rows_read, counts from VMHUB_OPS.sync_runs", doing="reading back"
    )
    assert (recorded["exit_code"], recorded["rows_read"]) == (128 + number, count)
    assert recorded["counts"]["BIRTHDAY"] == {"rows": count, **outcomes}
    report = laundromat.sync()
    assert report.total(Outcome.CREATED) == outcomes["deferred"]
    assert laundromat.written() == count
