"""One schedule: days of builds, syncs and tracking, with real senders that die and freeze.

Firestore fails towards all of them, and what the fake WhatsApp accepted is the judge. Everything
follows from the seed.
"""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from loader.base.errors import RunError, ServiceError
from loader.base.retry import Retry
from loader.firestore.changes import ChangeReader
from loader.firestore.client import Database
from loader.firestore.registry import RegistryEntry
from loader.firestore.targets import TargetStore
from loader.messages import OVERLAP
from loader.sync.model import Outcome
from loader.sync.run import SyncOptions, sync
from loader.track.news import own_news
from loader.wishes import live_keys
from tests.faults.documents import Documents
from tests.faults.effects import NO_WRITE, Effects
from tests.faults.events import Events
from tests.faults.judge import Judge
from tests.faults.processes import Leases, SenderProcess
from tests.faults.steps import StepFaults, SteppedChannel, stepped
from tests.faults.warehouse import CAMPAIGNS, MAX_ATTEMPTS, Warehouse
from tests.support import ALPHANUMERIC_CNPJ, NUMERIC_CNPJ
from tests.whatsapp.sending.world import World

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.sync.report import SyncReport
    from loader.track.news import News
    from tests.faults.backends import Backend
    from tests.faults.warehouse import Built

__all__ = ["BrokenPromiseError", "Schedule"]


# As `loader.services` has it.
_UNKNOWN_TO_BUILDS = timedelta(days=2)


class BrokenPromiseError(AssertionError):
    """A promise was broken; says with which seed, and what led to it."""


class Schedule:
    """Plays one seed."""

    world_type: type[World] = World
    events_type: type[Events] = Events
    judge_type: type[Judge] = Judge

    def __init__(self, seed: int, backend: Backend | None = None, project: str = "test") -> None:
        """Prepare a schedule; nothing happens yet.

        Args:
            seed: Everything that happens follows from it.
            backend: A Firestore without documents; None: one in memory.
            project: The project of its documents.

        """
        self.seed = seed
        self._rng = random.Random(f"schedule {seed}")
        self.world = self.world_type(seed=seed, backend=backend, project=project)
        self._leases = Leases()
        self._processes: list[SenderProcess] = []
        self._cnpjs: list[Cnpj] = [NUMERIC_CNPJ, ALPHANUMERIC_CNPJ][: self._rng.randint(1, 2)]
        for cnpj in self._cnpjs:
            # Two laundromats on one number.
            self.world.laundromat(str(cnpj))
        self.documents = {
            cnpj: Documents(self.world.backend, project, cnpj) for cnpj in self._cnpjs
        }
        self.warehouse = Warehouse(self._rng)
        self._judge = self.judge_type(self.warehouse, self.documents.values(), self._require)
        self._events = self.events_type(
            self._rng, self.world, self.warehouse, self.documents, self._say
        )
        self.seen: Counter[str] = self._judge.seen
        self.trace: list[str] = []
        self._effects: Effects | None = None
        self._may_overlap = self._rng.random() < 0.2
        self._is_calm = False

    async def play(self) -> None:
        """Play to the end.

        Raises:
            BrokenPromiseError: A promise was broken.

        """
        for hour in range(self._rng.randint(2, 4)):
            if hour:
                await asyncio.sleep(self._rng.choice((900, 3600, 3600, 9 * 3600, 15 * 3600)))
            self._events.before_the_hour()
            await self._start()
            await self._hour()
            for _ in range(self._rng.randint(1, 4)):
                await asyncio.sleep(self._rng.choice((1, 5, 40, 90)))
                self._events.one(self._processes)
            await asyncio.sleep(self._rng.choice((5, 30)))
            await self._end_some()
        await self._come_to_rest()
        self._judge.judge(self.world.state.ledger)
        for cnpj in self._cnpjs:
            await self._nothing_is_left(cnpj)
        self.seen.update(self._events.seen)
        revived_at = self._events.revived_at
        if revived_at is not None:
            self.seen["the token died and came back"] += any(
                message.at > revived_at for message in self.world.accepted
            )

    # The senders

    async def _start(self) -> None:
        running = [process for process in self._processes if process.is_running]
        if any(not process.is_frozen for process in running) and self._rng.random() < 0.7:
            return
        process = SenderProcess(self.world, self._leases, self._rng, is_calm=self._is_calm)
        process.on_commit = self._events.maybe_opt_out
        process.trace = self.trace
        self._processes.append(process)
        self._say(f"sender {len(self._processes)} starts")
        await process.start()

    async def _end_some(self) -> None:
        for number, process in enumerate(self._processes, 1):
            if not process.is_running or process.is_frozen:
                continue
            self.seen["a budget is used up"] += process.held_back_by_budget
            # Nobody polls for hours on end: that would take long and show nothing.
            if self._rng.random() < 0.5:
                self._say(f"sender {number} is killed")
                process.kill()
            else:
                self._say(f"sender {number} is stopped")
                process.stop()
                await process.ended()

    # The warehouse, sync and track

    async def _hour(self) -> None:
        for cnpj in self._cnpjs:
            try:
                await self._track(cnpj)
            except ServiceError as error:
                # As in a run: nothing is built on a history that is not up to date.
                self._say(f"track {cnpj} ends with a {type(error).__name__}")
                self.seen["tracking failed"] += 1
                continue
            built = self.warehouse.build(cnpj, self.world.now(), is_calm=self._is_calm)
            targets = [(row.campaign_type, row.customer_id) for row in built.rows]
            self._say(f"build {cnpj}: {targets}")
            await self._sync(cnpj, built)
            if not self._is_calm and self._rng.random() < 0.2:
                await asyncio.sleep(self._rng.choice((1, 30)))
                await self._sync(cnpj, built)

    def _faults(self) -> StepFaults:
        return StepFaults(self._rng, 0 if self._is_calm or self._rng.random() < 0.5 else 0.06)

    async def _sync(self, cnpj: Cnpj, built: Built) -> SyncReport | None:
        faults = self._faults()
        effects = self._effects = Effects(
            self.documents[cnpj],
            built.rows,
            as_of=self.world.now(),
            max_attempts=MAX_ATTEMPTS,
            require=self._require,
        )
        before = self._events.deletions
        try:
            report = await self._stepped_sync(cnpj, built, faults, effects)
        except RunError as error:
            self._require(is_kept=False, broken=str(error))
        except ServiceError as error:
            self._require(bool(faults.happened), f"sync ends with {error}")
            self._say(f"sync {cnpj} ends with a {type(error).__name__}: {faults.happened}")
            self.seen["sync failed"] += 1
            return None
        counts = [(campaign.campaign_type, campaign.outcomes) for campaign in report.campaigns]
        self._say(f"sync {cnpj}: {counts}, stopped: {report.stopped}, faults: {faults.happened}")
        is_exact = not faults.happened and not self._may_overlap
        self._require(not is_exact or report.stopped is None, f"stopped: {report.stopped}")
        effects.deletions = self._events.deletions - before
        if report.stopped is None:
            effects.compare(report, rejected=len(built.rejects), is_exact=is_exact)
        if faults.happened:
            self.seen["sync met faults"] += 1
        return report

    async def _stepped_sync(
        self, cnpj: Cnpj, built: Built, faults: StepFaults, effects: Effects, *, inner: bool = False
    ) -> SyncReport:
        # Virtual time lets others write in the very same microsecond; real clocks do not.
        as_of = self.world.now() + timedelta(microseconds=1)
        since = self._tracked_until(cnpj, _UNKNOWN_TO_BUILDS)

        def work(point: Callable[[str, str], None]) -> Any:
            database = self._database(point, faults=faults, observer=effects.observe)
            reader = ChangeReader(database, _retry())
            return sync(
                built,
                TargetStore(database, cnpj, watermark=self.warehouse.watermarks.get(cnpj)),
                cnpj=cnpj,
                as_of=as_of,
                campaign_types=CAMPAIGNS,
                max_attempts=MAX_ATTEMPTS,
                suppressed_keys=lambda: live_keys(reader.suppressions(since, cnpj)),
                options=SyncOptions(max_withdraw_percent=100),
                retry=Retry(sleep=lambda _: None, rng=random.Random(self.seed)),
            )

        async def between() -> None:
            await asyncio.sleep(self._rng.choice((0, 0.001, 0.05, 2.0)))
            if self._is_calm or inner:
                return
            if self._rng.random() < 0.05:
                self._events.on_documents(cnpj)
            if self._may_overlap and self._rng.random() < 0.1:
                self._say("another sync begins")
                self.seen["two syncs at a time"] += 1
                await self._stepped_sync(cnpj, built, StepFaults(self._rng, 0), effects, inner=True)
                self._say("another sync has ended")

        report: SyncReport = await stepped(work, between)
        return report

    async def _track(self, cnpj: Cnpj) -> None:
        if not self._is_calm and self._rng.random() < 0.2:
            return
        as_of = self.world.now()
        since = self._tracked_until(cnpj, OVERLAP)
        entry = RegistryEntry(cnpj, "", None, campaign_types=frozenset(CAMPAIGNS))
        faults = self._faults()

        def work(point: Callable[[str, str], None]) -> News:
            database = self._database(point, faults=faults)
            return own_news(ChangeReader(database, _retry()), entry, as_of, since=since)

        async def between() -> None:
            await asyncio.sleep(0.001)

        news = await stepped(work, between)
        self._require(not news.oddities, f"tracking cannot read {news.oddities}")
        chance = 1.0 if self._is_calm else self._rng.random()
        if chance >= 0.05:
            self.warehouse.record(cnpj, news)
        if chance < 0.1:
            # BigQuery did not answer, before or after the MERGE took effect.
            message = "writing message_history"
            raise ServiceError(message, is_transient=True)
        self.warehouse.track_up_to(cnpj, as_of)

    def _tracked_until(self, cnpj: Cnpj, overlap: timedelta) -> datetime | None:
        """Return from when on documents may be unknown to the warehouse; None: all."""
        known = self.warehouse.watermarks.get(cnpj)
        return None if known is None or known.until is None else known.until - overlap

    def _database(
        self,
        point: Callable[[str, str], None],
        *,
        faults: StepFaults,
        observer: Callable[[str, Callable[[], None]], None] | None = None,
    ) -> Database:
        channel: Any = SteppedChannel(self.world.backend, point, faults=faults, observer=observer)
        return Database(None, self.world.root, channel, (), "Firestore")  # type: ignore[arg-type]

    # The end

    async def _come_to_rest(self) -> None:
        """Without faults, two days put everything in order that can be."""
        for process in self._processes:
            process.clear()
        self._processes.clear()
        self._is_calm = True
        self._events.calm()
        for _ in range(2):
            await self._until_tomorrow()
            await self._hour()
            await self._start()
            await self._all_sent()
            process = self._processes.pop()
            process.stop()
            await process.ended()
        for cnpj in self._cnpjs:
            await self._track(cnpj)

    async def _until_tomorrow(self) -> None:
        now = self.world.now()
        tomorrow = now.replace(hour=13, minute=0, second=0) + timedelta(days=1)
        await asyncio.sleep((tomorrow - now).total_seconds())

    async def _all_sent(self) -> None:
        """Wait for two minutes, or until nothing waits: idle polls show nothing more."""
        began = self.world.now()
        for _ in range(24):
            await asyncio.sleep(5)
            targets = self._judge.targets()
            under_way = [
                found.is_open and found.fields["attemptLog"][-1]["at"] >= began
                for _, found in targets
            ]
            if not any(under_way) and not any(self._judge.waits(*item) for item in targets):
                return

    async def _nothing_is_left(self, cnpj: Cnpj) -> None:
        """Check that without sender and faults, one sync fixes all and the next does nothing."""
        self._may_overlap = False
        built = self.warehouse.build(cnpj, self.world.now(), is_calm=True)
        await self._sync(cnpj, built)
        report = await self._sync(cnpj, built)
        assert report is not None
        assert self._effects is not None
        self._require(not self._effects.counts, "a second sync still writes")
        noisy = [outcome for outcome in Outcome if report.total(outcome)]
        self._require(set(noisy) <= NO_WRITE, f"a second sync counts {noisy}")
        self._effects.check_rest(CAMPAIGNS)

    def _require(self, is_kept: bool, broken: str) -> None:  # noqa: FBT001 - a condition
        if not is_kept:
            story = "\n".join(self.trace)
            message = f"schedule {self.seed}: {broken}\n{story}"
            raise BrokenPromiseError(message)

    def _say(self, what: str) -> None:
        self.trace.append(f"{self.world.now():%d %H:%M:%S} {what}")


def _retry() -> Retry:
    return Retry(sleep=lambda _: None)
