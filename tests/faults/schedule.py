"""One schedule: some hours of builds and syncs, with a sender and faults between any two steps.

Everything follows from the seed. The promises are checked at each write of sync, when it takes
effect, and at the end.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import grpc

from loader.base.errors import RunError, ServiceError
from loader.base.retry import Retry
from loader.firestore.targets import TargetStore
from loader.sync.model import Outcome, Status, Target
from loader.sync.run import SyncOptions, SyncReport, sync
from tests.faults.sender import Documents, Found, Post, Sender
from tests.faults.server import Fault, FaultServer, Moment, Point, Traffic, WriteFault
from tests.loader.fakes import FakeSource, make_target
from tests.support import ALL_TRACKED, AS_OF, NUMERIC_CNPJ

if TYPE_CHECKING:
    from collections.abc import Callable

    from loader.firestore.client import Database

__all__ = ["Schedule", "ScheduleFailedError"]

_MAX_ATTEMPTS = 2
_CODES = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "RESOURCE_EXHAUSTED", "INTERNAL")
_NO_WRITE = {
    Outcome.UNCHANGED,
    Outcome.ALREADY_SENT,
    Outcome.EXHAUSTED,
    Outcome.IN_FLIGHT,
    Outcome.REJECTED,
}
_WRITES = {
    Outcome.CREATED,
    Outcome.REPLACED,
    Outcome.UPDATED,
    Outcome.REQUEUED,
    Outcome.WITHDRAWN,
}

Key = tuple[str, str]
"""Campaign type and customer id."""


class ScheduleFailedError(AssertionError):
    """A promise was broken; the text has the seed and the events before."""


class Schedule:
    """Plays one seed against a Firestore behind a `FaultServer`."""

    def __init__(
        self,
        seed: int,
        server: FaultServer,
        database: Database,
        other: FaultServer,
        second: Database,
    ) -> None:
        """Prepare a schedule; nothing is sent yet.

        Args:
            seed: Everything that happens follows from it.
            server: A split server between sync and an empty database.
            database: A connection through it.
            other: A second server for the same backend, for a concurrent sync.
            second: A connection through the second server.

        """
        self.seed = seed
        self._rng = random.Random(f"schedule {seed}")
        self._server, self._database = server, database
        self._other, self._second = other, second
        self._campaign_types = ("BIRTHDAY", "LOYALTY")[: self._rng.randint(1, 2)]
        self._customers = [f"c{number}" for number in range(self._rng.randint(1, 4))]
        project = database.name.split("/")[1]
        self._documents = Documents(server.backend, project, NUMERIC_CNPJ)
        self._sender = Sender(
            self._documents,
            self._campaign_types,
            AS_OF,
            accepting=self._rng.choice((0.8, 0.2)),
            max_attempts=_MAX_ATTEMPTS,
        )
        self.trace = self._sender.trace
        self._built_at = AS_OF
        self._as_of = AS_OF
        self._is_candidate: dict[Key, bool] = {}
        self._versions: Counter[Key] = Counter()
        self._cycles: Counter[str] = Counter()
        self._cycle_starts = dict.fromkeys(self._campaign_types, AS_OF - timedelta(hours=10))
        self._known: set[Post] = set()
        self._rows: dict[Key, Target] = {}
        self._rejects: list[Target] = []
        self._effects: Counter[Outcome] = Counter()
        self._reached: Counter[tuple[str, str, Moment]] = Counter()
        self._runs = 0
        self._may_overlap = self._rng.random() < 0.2
        self._is_quiet = False
        self._lock = threading.Lock()

    def play(self) -> list[Found]:
        """Play to the end, and return the remaining documents.

        Raises:
            ScheduleFailedError: A promise was broken.

        """
        for _ in range(self._rng.randint(2, 4)):
            self._build(self._later())
            for _ in range(self._rng.choice((1, 1, 2))):
                self._act(self._rng, 3)
                self._sync(self._faults())
            self._act(self._rng, 3)
            self._sender.finish(self._rng)
        self._come_to_rest()
        self._check_posts()
        return self._documents.all(self._campaign_types)

    # The warehouse

    def _later(self) -> datetime:
        if not self._runs:
            return AS_OF
        now = self._sender.now
        later = now + timedelta(minutes=self._rng.choice((10, 60, 180)))
        if later.hour < 13 or later.hour >= 22 or self._rng.random() < 0.2:
            later = now.replace(hour=13, minute=0, second=0, microsecond=0) + timedelta(days=1)
        return later

    def _build(self, at: datetime) -> None:
        """Publish a new campaign_targets: customers, payloads, cycles and history change."""
        rng = self._rng
        is_next_day = at.date() != self._built_at.date()
        self._built_at = self._as_of = self._sender.now = at
        midnight = at.replace(hour=3, minute=0, second=0, microsecond=0)
        self._known |= {post for post in self._sender.posts if rng.random() < 0.7}
        self._rows = {}
        for campaign_type in self._campaign_types:
            if is_next_day and rng.random() < 0.4:
                self._cycles[campaign_type] += 1
                self._cycle_starts[campaign_type] = midnight
            for customer_id in self._customers:
                key = (campaign_type, customer_id)
                if key not in self._is_candidate or rng.random() < 0.2:
                    self._is_candidate[key] = rng.random() < 0.75
                self._versions[key] += rng.random() < 0.2
                if self._is_candidate[key] and not self._is_known(key):
                    self._rows[key] = self._row(key)
        self._sender.may_be_deleted = {
            (campaign_type, customer_id)
            for campaign_type in self._campaign_types
            for customer_id in self._customers
            if self._is_known((campaign_type, customer_id))
        }
        illegal = make_target("a/b", built_at=at, expires_at=at + timedelta(hours=1))
        self._rejects = [illegal] if rng.random() < 0.2 else []
        self._say(f"build at {at:%d %H:%M}: {sorted(self._rows)}, cycles {dict(self._cycles)}")

    def _is_known(self, key: Key) -> bool:
        start = self._cycle_starts[key[0]]
        return any(
            (post.campaign_type, post.customer_id) == key and post.is_accepted and post.at >= start
            for post in self._known
        )

    def _row(self, key: Key) -> Target:
        campaign_type, customer_id = key
        return make_target(
            customer_id,
            campaign_type=campaign_type,
            data=json.dumps({"message": f"text {self._versions[key]}"}),
            cycle_key=f"R{self._cycles[campaign_type]}",
            cycle_start=self._cycle_starts[campaign_type],
            expires_at=self._built_at.replace(hour=23, minute=0, second=0, microsecond=0),
            built_at=self._built_at,
        )

    # The runs

    def _faults(self) -> list[Fault | WriteFault]:
        rng = self._rng
        faults: list[Fault | WriteFault] = []
        if rng.random() < 0.5:
            return faults
        for _ in range(rng.randint(1, 2)):
            code = grpc.StatusCode[rng.choice((*_CODES, "PERMISSION_DENIED"))]
            calls = rng.choice(((1,), (2,), (1, 2), (1, 3)))
            if rng.random() < 0.3:
                hit = rng.choice(self._customers)
                faults.append(
                    WriteFault(
                        lambda name, hit=hit: name.endswith(hit),  # type: ignore[misc]
                        is_written=rng.random() < 0.5,
                        code=code,
                        calls=calls,
                    )
                )
            else:
                method = rng.choice(("BatchWrite", "BatchWrite", "BatchGetDocuments", "RunQuery"))
                faults.append(Fault(method, rng.choice(list(Moment)), code, calls))
        return faults

    def _sync(self, faults: list[Fault | WriteFault]) -> SyncReport | None:
        """Run sync with the sender in between; check its accounting."""
        self._runs += 1
        # Never an instant at which the sender writes, as with a real clock.
        self._as_of = self._sender.now + timedelta(milliseconds=1)
        self._sender.deletions = 0
        self._say(f"sync {self._runs} as of {self._as_of:%d %H:%M:%S}, faults: {faults}")
        self._effects.clear()
        self._server.traffic, self._server.plan = Traffic(), faults
        self._server.hook, self._server.observer = self._interleave, self._observe
        try:
            report = self._run(self._database, self._as_of)
        except RunError as error:
            self._require(is_kept=False, broken=str(error))
        except ServiceError as error:
            self._require(bool(faults), f"sync ends with {error}")
            self._say(f"sync ends with a {type(error).__name__}")
            return None
        finally:
            self._server.hook, self._server.plan = lambda _: None, ()
            self._raise_problems()
        counted = {outcome: report.total(outcome) for outcome in Outcome if report.total(outcome)}
        self._say(f"sync counts {counted}, stopped: {report.stopped}")
        self._require(bool(faults) or report.stopped is None, "sync was stopped without a fault")
        rows = len(self._rows) + len(self._rejects)
        self._require(
            sum(counted.values()) - counted.get(Outcome.WITHDRAWN, 0) == rows, "rows do not add up"
        )
        # Without an answer, it is unknown whose deletion it was.
        doubtful = self._sender.deletions if faults else 0
        for outcome in _WRITES:
            written, told = self._effects[outcome], counted.get(outcome, 0)
            if outcome is Outcome.WITHDRAWN:
                written += doubtful
            is_exact = not faults and not self._may_overlap
            self._require(
                told == written if is_exact else told <= written,
                f"{told} {outcome} were counted and {written} happened",
            )
        return report

    def _run(self, database: Database, as_of: datetime) -> SyncReport:
        return sync(
            FakeSource([*self._rows.values(), *self._rejects], self._built_at),
            TargetStore(database, NUMERIC_CNPJ, watermark=ALL_TRACKED),
            cnpj=NUMERIC_CNPJ,
            as_of=as_of,
            campaign_types=self._campaign_types,
            max_attempts=_MAX_ATTEMPTS,
            options=SyncOptions(),
            retry=Retry(sleep=lambda _: None, rng=random.Random(self.seed)),
        )

    def _act(self, rng: random.Random, at_most: int) -> None:
        for _ in range(0 if self._is_quiet else rng.randint(0, at_most)):
            self._sender.act(rng)

    def _interleave(self, point: Point) -> None:
        """Let others act; the point is the seed, so that the threads of sync do not matter."""
        with self._lock:
            place = (point.method, point.scope.split("/documents/")[-1], point.moment)
            self._reached[place] += 1
            rng = random.Random(f"{self.seed} {self._runs} {place} {self._reached[place]}")
            self._say(f"  {point.method} {point.number} {point.moment.name}")
            self._act(rng, 2)
            overlaps = self._may_overlap and rng.random() < 0.1
            if overlaps:
                self._say("  another sync begins")
                self._other.observer = self._observe
                self._run(self._second, self._as_of + timedelta(microseconds=1))
                self._say("  another sync has ended")

    # The promises

    def _observe(self, name: str, write: Callable[[], None]) -> None:
        before = self._documents.get(name)
        write()
        after = self._documents.get(name)
        if before != after:
            self._check_effect(before, after)

    def _check_effect(self, before: Found | None, after: Found | None) -> None:
        found = before or after
        assert found is not None
        key = (found.campaign_type, found.customer_id)
        row = self._rows.get(key)
        outcome = self._outcome(before, after, row)
        self._effects[outcome] += 1
        self._say(f"    sync: {key} {outcome}")
        if before is not None:
            until = before.fields.get("claimedUntil")
            is_claimed = until is not None and until > self._as_of
            self._require(not is_claimed, f"{key} was {outcome} under a claim")
        if after is None or row is None:
            self._require(before is not None, f"{key} was {outcome} without row")
            assert before is not None
            self._check_withdrawal(key, before, after, row)
            return
        self._require(
            after.fields.get("status") == "PENDING"
            and after.fields.get("data") == json.loads(row.data)
            and after.fields.get("cycleKey") == row.cycle_key
            and after.fields.get("expiresAt") == row.expires_at,
            f"{key} is not as its row says",
        )
        if outcome in (Outcome.CREATED, Outcome.REPLACED):
            self._require(after.fields.get("attempts") == 0, f"{key} does not begin anew")
            return
        assert before is not None
        status = before.fields["status"]
        self._require(status in ("PENDING", "FAILED"), f"{key} left {status} within its cycle")
        if status == "FAILED":
            may_retry = self._may_retry(before)
            self._require(may_retry, f"{key} was queued again and may not be")
        kept = ("attempts", "attemptLog", "messageId", "lastError", "createdAt", "note")
        lost = [name for name in kept if before.fields.get(name) != after.fields.get(name)]
        self._require(not lost, f"{key} lost {lost}")

    def _check_withdrawal(
        self, key: Key, before: Found, after: Found | None, row: Target | None
    ) -> None:
        status = before.fields["status"]
        self._require(row is None and status == "PENDING", f"{key}, {status}, was withdrawn")
        attempted = before.fields["attempts"] > 0 or bool(before.fields.get("attemptLog"))
        kept = None
        if attempted:
            updated_at = None if after is None else after.fields["updatedAt"]
            kept = {**before.fields, "status": "FAILED", "updatedAt": updated_at}
        found = None if after is None else after.fields
        self._require(found == kept, f"{key} was withdrawn and is {found}")

    def _may_retry(self, found: Found) -> bool:
        return bool(
            found.fields["lastError"]["recoverable"]
            and found.fields["attempts"] < _MAX_ATTEMPTS
            and found.fields.get("nextAttemptAt", self._as_of) <= self._as_of
        )

    def _outcome(self, before: Found | None, after: Found | None, row: Target | None) -> Outcome:
        if after is None or after.fields["status"] == "FAILED":
            return Outcome.WITHDRAWN
        if before is None:
            return Outcome.CREATED
        if row is not None and before.fields["createdAt"] < row.cycle_start:
            return Outcome.REPLACED
        return Outcome.REQUEUED if before.fields["status"] == "FAILED" else Outcome.UPDATED

    def _come_to_rest(self) -> None:
        """Check that without sender and faults, one run fixes all and the next does nothing."""
        self._build(self._sender.now.replace(hour=13) + timedelta(days=2))
        self._is_quiet, self._may_overlap = True, False
        self._sync([])
        report = self._sync([])
        assert report is not None
        self._require(not self._effects, "a second run still writes")
        noisy = [outcome for outcome in Outcome if report.total(outcome)]
        self._require(set(noisy) <= _NO_WRITE, f"a second run counts {noisy}")
        found = {
            (item.campaign_type, item.customer_id): item
            for item in self._documents.all(self._campaign_types)
        }
        for key, row in self._rows.items():
            self._require(key in found, f"{key} has a row and no document")
            fields = found[key].fields
            is_current = fields["data"] == json.loads(row.data)
            self._require(fields["status"] != Status.PENDING or is_current, f"{key} is stale")
            is_waiting = fields["status"] == Status.FAILED and self._may_retry(found[key])
            self._require(not is_waiting, f"{key} was not queued again")
        for key, item in found.items():
            is_orphan = key not in self._rows and item.fields["status"] == Status.PENDING
            self._require(not is_orphan, f"{key} is PENDING without a row")

    def _check_posts(self) -> None:
        accepted = [post for post in self._sender.posts if post.is_accepted]
        cycles = Counter(
            (post.campaign_type, post.customer_id, post.cycle_key) for post in accepted
        )
        twice = [cycle for cycle, count in cycles.items() if count > 1]
        self._require(not twice, f"messaged twice in a cycle: {twice}")

    def _require(self, is_kept: bool, broken: str) -> None:  # noqa: FBT001 - a condition
        if not is_kept:
            story = "\n".join(self.trace)
            message = f"schedule {self.seed}: {broken}\n{story}"
            raise ScheduleFailedError(message)

    def _raise_problems(self) -> None:
        for server in (self._server, self._other):
            if server.problems:
                problem = server.problems[0]
                server.problems.clear()
                if isinstance(problem, ScheduleFailedError):
                    raise problem
                message = f"schedule {self.seed}: {problem!r}\n" + "\n".join(self.trace)
                raise ScheduleFailedError(message) from problem

    def _say(self, what: str) -> None:
        self.trace.append(what)
