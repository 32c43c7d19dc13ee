"""Sync on Google's emulator behind a server with planned faults: nothing doubled or lost."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from loader.base.environment import Environment
from loader.base.errors import ServiceError
from loader.base.retry import Retry
from loader.firestore.client import connect
from loader.firestore.targets import TargetStore
from loader.local.servers import Server, end_server

# The whole stack would also start a BigQuery, which these tests do not need.
from loader.local.stack import start_google
from loader.sync.model import Outcome, Target
from loader.sync.run import SyncReport, sync
from tests.faults.backends import EmulatorBackend
from tests.faults.documents import Documents
from tests.faults.memory import MemoryBackend
from tests.faults.relay import relaying
from tests.faults.server import Fault, FaultServer, Moment, Point, Stall, WriteFault, serving
from tests.loader.fakes import CYCLE_START, EARLIER, FakeSource, make_target
from tests.support import ALL_TRACKED, AS_OF, NUMERIC_CNPJ

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


READ, GET, WRITE = "RunQuery", "BatchGetDocuments", "BatchWrite"
TRANSIENT = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
)
FINAL = grpc.StatusCode.PERMISSION_DENIED

# Documents by their expected outcome; those of the first group have a row.
LAST_CYCLE = CYCLE_START - timedelta(days=1)
SENT = {"status": "SENT", "messageId": "wamid.test.1", "attempts": 1}
FAILED = {"status": "FAILED", "attempts": 1, "lastError": {"code": "131016", "recoverable": True}}
CLAIM = {"claimedUntil": AS_OF + timedelta(minutes=5)}
WITH_ROW: dict[str, dict[str, Any]] = {
    "changed": {"name": "Ana Antiga"},
    "failed": FAILED,
    "last cycle": {**SENT, "createdAt": LAST_CYCLE},
    "same": {},
    "claimed": {"name": "Ana Antiga", **CLAIM},
    "sent": SENT,
    "delivered": {**SENT, "status": "DELIVERED"},
    "final": {**FAILED, "lastError": {"code": "131026", "recoverable": False}},
}
WITHOUT_ROW: dict[str, dict[str, Any]] = {
    "gone": {},
    "gone but claimed": CLAIM,
    "gone but sent": SENT,
}
UNTOUCHABLE = {"claimed", "sent", "delivered", "final", "gone but claimed", "gone but sent"}
NEW = ("new 1", "new 2", "new 3")
ROWS = [make_target(customer_id) for customer_id in (*NEW, *WITH_ROW, "no/id")]
CLEAN = {
    Outcome.CREATED: 3,
    Outcome.UPDATED: 1,
    Outcome.REQUEUED: 1,
    Outcome.REPLACED: 1,
    Outcome.UNCHANGED: 1,
    Outcome.IN_FLIGHT: 1,
    Outcome.ALREADY_SENT: 2,
    Outcome.EXHAUSTED: 1,
    Outcome.WITHDRAWN: 1,
    Outcome.REJECTED: 1,
}


def _left(customer_id: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the document written for a row of the hour before."""
    target = make_target(customer_id)
    return {
        "cnpj": target.cnpj,
        "campaignType": target.campaign_type,
        "customerId": customer_id,
        "name": target.name,
        "phone": target.phone,
        "data": json.loads(target.data),
        "status": "PENDING",
        "attempts": 0,
        "cycleKey": target.cycle_key,
        "cycleStart": target.cycle_start,
        "expiresAt": target.expires_at,
        "createdAt": EARLIER,
        "updatedAt": EARLIER,
        **changes,
    }


@dataclass
class Site:
    """A laundromat's documents in a Firestore behind a server with faults."""

    server: FaultServer
    project: str
    documents: Documents

    @classmethod
    def of(cls, server: FaultServer, project: str) -> Site:
        return cls(server, project, Documents(server.backend, project, NUMERIC_CNPJ))

    def seed(self) -> None:
        """Write the documents that earlier runs and the sender have left."""
        seeded = (WITH_ROW | WITHOUT_ROW).items()
        self.documents.put("BIRTHDAY", {id_: _left(id_, changes) for id_, changes in seeded})

    def sync(
        self,
        rows: list[Target] | None = None,
        *,
        as_of: datetime = AS_OF,
        host: str | None = None,
        retry: Retry | None = None,
    ) -> SyncReport:
        database = connect(Environment(self.project, firestore_host=host or self.server.host))
        with database.channel:
            return sync(
                FakeSource(ROWS if rows is None else rows),
                TargetStore(database, NUMERIC_CNPJ, watermark=ALL_TRACKED),
                cnpj=NUMERIC_CNPJ,
                as_of=as_of,
                campaign_types=["BIRTHDAY"],
                max_attempts=3,
                retry=retry or Retry(sleep=lambda _: None),
            )

    def state(self) -> dict[str, dict[str, Any]]:
        return {found.customer_id: found.fields for found in self.documents.all(["BIRTHDAY"])}

    def untouchable(self) -> dict[str, Any]:
        """Return the documents that sync must leave alone, with their update times."""
        found = self.documents.all(["BIRTHDAY"])
        return {item.customer_id: item for item in found if item.customer_id in UNTOUCHABLE}


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, Any]]:
    """The seeded documents after a run without faults."""
    with serving(MemoryBackend()) as server:
        site = Site.of(server, "test-memory")
        site.seed()
        assert _counts(site.sync()) == CLEAN
        return site.state()


@pytest.fixture
def site(environment: Environment, google_firestore: str) -> Iterator[Site]:
    emulator = EmulatorBackend(google_firestore)
    with closing(emulator), serving(emulator) as server:
        site = Site.of(server, environment.project)
        site.seed()
        yield site


def _counts(report: SyncReport) -> dict[Outcome, int]:
    return {outcome: report.total(outcome) for outcome in Outcome if report.total(outcome)}


def _adds_up(report: SyncReport) -> bool:
    return report.total(*Outcome) - report.total(Outcome.WITHDRAWN) == report.rows_read


def _heal(site: Site, expected: dict[str, dict[str, Any]]) -> None:
    """Remove the faults: the next run completes what is missing, and a further run does nothing."""
    site.server.plan, site.server.hook = (), lambda _: None
    report = site.sync()
    assert _adds_up(report)
    assert report.total(Outcome.FAILED) == 0
    assert site.state() == expected
    again = site.sync()
    assert again.total(Outcome.CREATED, Outcome.UPDATED, Outcome.REPLACED, Outcome.REQUEUED) == 0
    assert again.total(Outcome.WITHDRAWN) == 0


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.AFTER], ids=lambda it: it.name)
@pytest.mark.parametrize("code", TRANSIENT, ids=lambda it: it.name)
@pytest.mark.parametrize("method", [READ, GET, WRITE])
def test_a_call_that_fails_for_a_moment_costs_nobody_anything(
    method: str,
    code: grpc.StatusCode,
    moment: Moment,
    site: Site,
    expected: dict[str, dict[str, Any]],
) -> None:
    before = site.untouchable()
    site.server.plan = [Fault(method, moment, code)]
    report = site.sync()
    assert site.server.traffic.calls[method] >= 2
    assert _adds_up(report)
    assert _counts(report) == CLEAN
    assert site.state() == expected
    assert site.untouchable() == before


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.AFTER], ids=lambda it: it.name)
@pytest.mark.parametrize("method", [READ, GET, WRITE])
def test_a_call_that_is_refused_for_good_is_told_and_the_next_run_completes(
    method: str, moment: Moment, site: Site, expected: dict[str, dict[str, Any]]
) -> None:
    before, untouchable = site.state(), site.untouchable()
    site.server.plan = [Fault(method, moment, FINAL)]
    if method == READ:
        with pytest.raises(ServiceError, match="PERMISSION_DENIED"):
            site.sync()
        assert site.state() == before
        assert site.server.traffic.writes == 0
    else:
        report = site.sync()
        assert _adds_up(report)
        assert report.exit_code != 0
        reasons = {item.reason for item in report.problems if item.outcome is Outcome.FAILED}
        assert reasons
        assert all("PERMISSION_DENIED" in reason for reason in reasons)
    assert site.untouchable() == untouchable
    _heal(site, expected)


@pytest.mark.parametrize("method", [READ, GET, WRITE])
def test_a_service_that_never_comes_back_ends_the_run_with_every_row_counted(
    method: str, site: Site, expected: dict[str, dict[str, Any]]
) -> None:
    # Writes that happened are found by reading back; only those that never happen stay unknown.
    moment = Moment.BEFORE if method == WRITE else Moment.AFTER
    site.server.plan = [Fault(method, moment, calls=range(1, 1_000))]
    seconds = iter(range(0, 1_000_000, 10))
    impatient = Retry(clock=lambda: next(seconds), sleep=lambda _: None)
    if method == READ:
        with pytest.raises(ServiceError, match="does not answer"):
            site.sync(retry=impatient)
        assert site.server.traffic.writes == 0
    else:
        report = site.sync(retry=impatient)
        assert _adds_up(report)
        assert report.total(Outcome.FAILED) > 0
    _heal(site, expected)


@pytest.mark.parametrize("is_written", [True, False], ids=["written", "not written"])
@pytest.mark.parametrize("code", TRANSIENT, ids=lambda it: it.name)
def test_writes_that_fail_alone_in_a_good_answer_are_looked_at_before_they_are_repeated(
    code: grpc.StatusCode, *, is_written: bool, site: Site, expected: dict[str, dict[str, Any]]
) -> None:
    site.server.plan = [WriteFault(lambda name: not name.endswith("new 1"), is_written, code)]
    report = site.sync()
    assert _counts(report) == CLEAN
    assert site.state() == expected
    assert site.server.traffic.calls[GET] >= 1


@pytest.mark.parametrize("is_written", [True, False], ids=["written", "not written"])
def test_writes_that_are_refused_alone_fail_alone(
    *, is_written: bool, site: Site, expected: dict[str, dict[str, Any]]
) -> None:
    hits = ("new 1", "changed", "gone")
    site.server.plan = [WriteFault(lambda name: name.endswith(hits), is_written, FINAL)]
    report = site.sync()
    assert _adds_up(report)
    assert report.total(Outcome.FAILED) == 2
    failed = {item.customer_id for item in report.problems if item.outcome is Outcome.FAILED}
    assert failed == set(hits)
    assert report.total(Outcome.CREATED, Outcome.REPLACED, Outcome.REQUEUED) == 4
    _heal(site, expected)


@pytest.mark.parametrize(
    ("method", "moment"),
    [(READ, Moment.MIDDLE), (WRITE, Moment.AFTER), (GET, Moment.MIDDLE)],
    ids=str,
)
def test_a_connection_that_is_cut_half_way_costs_nobody_anything(
    method: str, moment: Moment, site: Site, expected: dict[str, dict[str, Any]]
) -> None:
    with relaying(site.server.host) as relay:
        cuts: list[Point] = []

        def cut_once(point: Point) -> None:
            if (point.method, point.moment) == (method, moment) and not cuts:
                cuts.append(point)
                relay.cut()

        site.server.hook = cut_once
        report = site.sync(host=relay.host)
    assert cuts
    assert _adds_up(report)
    assert report.total(Outcome.FAILED) == 0
    assert site.state() == expected


def test_writes_that_arrive_after_they_were_given_up_double_nobody(
    site: Site, expected: dict[str, dict[str, Any]]
) -> None:
    """The connection is cut; the first writes arrive only after they were read back in vain."""
    was_read_back, has_arrived = threading.Event(), threading.Event()
    with relaying(site.server.host) as relay:

        def delay(point: Point) -> None:
            match (point.method, point.number, point.moment):
                case ("BatchWrite", 1, Moment.BEFORE):
                    relay.cut()
                    assert was_read_back.wait(30)
                case ("BatchWrite", 1, Moment.AFTER):
                    has_arrived.set()
                case ("BatchGetDocuments", _, Moment.AFTER):
                    was_read_back.set()
                case ("BatchWrite", _, Moment.BEFORE):
                    assert has_arrived.wait(30)

        site.server.hook = delay
        report = site.sync(host=relay.host)
    assert _adds_up(report)
    assert report.total(Outcome.FAILED) == 0
    assert site.state() == expected
    # It is unknown which run wrote them, but their content must be right.
    assert report.total(Outcome.CREATED, Outcome.UPDATED) == 0
    assert report.total(Outcome.UNCHANGED) == 3 + 1 + 1


def test_an_answer_that_comes_after_the_deadline_is_not_waited_for_and_not_repeated_blindly(
    site: Site, expected: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loader.firestore.batches._TIMEOUT_SECONDS", 0.5)
    was_read_back = threading.Event()

    def answer_late(point: Point) -> None:
        if point.method == GET and point.moment is Moment.AFTER:
            was_read_back.set()
        if (point.method, point.number, point.moment) == (WRITE, 1, Moment.AFTER):
            assert was_read_back.wait(30)

    site.server.hook = answer_late
    report = site.sync()
    assert was_read_back.is_set()
    assert _counts(report) == CLEAN
    assert site.state() == expected


def test_slow_answers_change_nothing(site: Site, expected: dict[str, dict[str, Any]]) -> None:
    site.server.plan = [Stall(method, seconds=0.2) for method in (READ, GET, WRITE)]
    assert _counts(site.sync()) == CLEAN
    assert site.state() == expected


def test_a_lost_answer_about_documents_near_a_mebibyte_loses_none_of_them(site: Site) -> None:
    data = json.dumps({"message": "x" * 1_000_000})
    rows = [make_target(f"large {number}", data=data) for number in range(6)]
    site.server.plan = [
        Fault(WRITE, Moment.AFTER, grpc.StatusCode.DEADLINE_EXCEEDED),
        Fault(GET, Moment.MIDDLE),
    ]
    report = site.sync([*ROWS, *rows])
    assert report.total(Outcome.CREATED) == 3 + 6
    assert report.total(Outcome.FAILED) == 0
    found = site.state()
    assert all(len(found[row.customer_id]["data"]["message"]) == 1_000_000 for row in rows)


@pytest.mark.usefixtures("google_is_installed")
def test_a_firestore_that_restarts_half_way_and_has_lost_all_is_written_to_again(
    tmp_path: Path,
) -> None:
    rows = [make_target(f"c{number}") for number in range(1_500)]
    servers: list[Server] = []
    try:
        first = EmulatorBackend(_emulator(tmp_path / "first", servers))
        with closing(first), serving(first) as server:

            def restart(point: Point) -> None:
                if (point.method, point.number, point.moment) == (WRITE, 2, Moment.AFTER):
                    end_server(servers[0])
                    server.backend = EmulatorBackend(_emulator(tmp_path / "second", servers))

            server.hook = restart
            report = Site.of(server, "test-restart").sync(rows)
            assert len(servers) == 2
            assert _adds_up(report)
            site = Site.of(server, "test-restart")
            kept = len(site.state())
            assert kept < 1_500
            report = site.sync(rows)
            assert report.total(Outcome.CREATED) == 1_500 - kept
            assert report.total(Outcome.UNCHANGED) == kept
            assert len(site.state()) == 1_500
    finally:
        for started in servers:
            end_server(started)


def _emulator(folder: Path, servers: list[Server]) -> str:
    folder.mkdir()
    return start_google(folder, None, servers, is_owned=True)


# Two syncs of one laundromat


@pytest.mark.parametrize(
    "point",
    [(READ, Moment.BEFORE), (READ, Moment.AFTER), (WRITE, Moment.BEFORE), (WRITE, Moment.AFTER)],
    ids=str,
)
def test_a_sync_within_a_sync_doubles_nobody(
    point: tuple[str, Moment], site: Site, expected: dict[str, dict[str, Any]]
) -> None:
    inner: list[SyncReport] = []
    with serving(site.server.backend) as other:

        def run_another(at: Point) -> None:
            if (at.method, at.moment) == point and not inner:
                inner.append(site.sync(as_of=AS_OF + timedelta(seconds=1), host=other.host))

        site.server.hook = run_another
        outer = site.sync()
    for outcome in (Outcome.CREATED, Outcome.UPDATED, Outcome.REPLACED, Outcome.REQUEUED):
        assert outer.total(outcome) + inner[0].total(outcome) == CLEAN[outcome]
    assert _adds_up(outer)
    assert _adds_up(inner[0])
    assert _timeless(site.state()) == _timeless(expected)


def test_two_syncs_at_once_double_nobody(site: Site, expected: dict[str, dict[str, Any]]) -> None:
    at_once = threading.Barrier(2)
    reports: list[SyncReport] = []

    def meet(point: Point) -> None:
        if (point.method, point.moment) == (WRITE, Moment.BEFORE) and point.number <= 2:
            at_once.wait(30)

    site.server.hook = meet
    instants = (AS_OF, AS_OF + timedelta(seconds=1))
    threads = [
        threading.Thread(target=lambda at=instant: reports.append(site.sync(as_of=at)))
        for instant in instants
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [_adds_up(report) for report in reports] == [True, True]
    assert sum(report.total(Outcome.CREATED) for report in reports) == CLEAN[Outcome.CREATED]
    assert sum(report.total(Outcome.REPLACED) for report in reports) == CLEAN[Outcome.REPLACED]
    assert _timeless(site.state()) == _timeless(expected)


def _timeless(state: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Leave out the fields that show which of two runs wrote."""
    own = ("createdAt", "updatedAt")
    return {
        id_: {name: value for name, value in fields.items() if name not in own}
        for id_, fields in state.items()
    }


# What a run costs


def test_a_second_run_writes_nothing_and_reads_what_is_pending(site: Site) -> None:
    site.sync()
    site.server.traffic.calls.clear()
    site.server.traffic.documents_read = site.server.traffic.writes = 0
    rows = [row for row in ROWS if row.customer_id not in {"sent", "delivered", "final"}]
    report = site.sync(rows)
    assert report.total(Outcome.UNCHANGED) == 7
    pending = [fields for fields in site.state().values() if fields["status"] == "PENDING"]
    assert site.server.traffic.calls == {READ: 1}
    assert site.server.traffic.documents_read == len(pending)
    assert site.server.traffic.writes == 0
