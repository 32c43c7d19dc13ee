"""One schedule: days of builds, syncs and tracking, with real senders that die and freeze.

What the fake WhatsApp accepted is the judge. All of it follows from the seed.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from loader.base.retry import Retry
from loader.firestore.changes import ChangeReader
from loader.firestore.client import Database
from loader.firestore.targets import TargetStore
from loader.messages import Watermark, history_rows
from loader.sync.run import SyncOptions, sync
from tests.faults.processes import Leases, SenderProcess, SteppedChannel, stepped
from tests.loader.fakes import FakeSource, make_target
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, NUMERIC_CNPJ
from tests.whatsapp.calls import TOKEN
from tests.whatsapp.sending.world import CLASSES, ROOT, World, phone_of
from whatsapp.fake.config import Accounts
from whatsapp.persons import same_person

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loader.base.cnpj import Cnpj
    from loader.messages import HistoryRow
    from loader.sync.model import Target

__all__ = ["BrokenPromiseError", "SendSchedule"]

_MAX_ATTEMPTS = 3
_CAMPAIGNS = ("BIRTHDAY", "REACTIVATION")
_FAULTS = (
    ("error", 131016),
    ("error", 131026),
    ("error", 131049),
    ("error", 131056),
    ("error", 131042),
    ("error", 131048),
    ("error", 131063),
    ("error", 132015),
    ("error", 132012),
    ("error", 190),
    ("error", 2),
    ("error", 3),
    ("gateway_error", None),
    ("reset_unread", None),
    ("accept_and_hang", None),
    ("accept_and_reset", None),
    ("accept_and_gateway_error", None),
    ("truncated", None),
    ("no_id", None),
    ("held", None),
)

Key = tuple[str, str, str]
"""CNPJ, campaign type and customer id."""


class BrokenPromiseError(AssertionError):
    """A promise was broken; says with which seed, and what led to it."""


class SendSchedule:
    """Plays one seed."""

    world_type: type[World] = World

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._rng = random.Random(f"sending {seed}")
        self.world = self.world_type(seed=seed)
        self._leases = Leases()
        self._processes: list[SenderProcess] = []
        self._cnpjs: list[Cnpj] = [NUMERIC_CNPJ, ALPHANUMERIC_CNPJ][: self._rng.randint(1, 2)]
        for cnpj in self._cnpjs:
            # Two laundromats on one number.
            self.world.laundromat(str(cnpj))
        self._customers = [f"c{number}" for number in range(self._rng.randint(1, 4))]
        # A family phone now and then.
        phones = self._rng.randint(1, len(self._customers))
        self._phones = {
            customer: phone_of(number % phones) for number, customer in enumerate(self._customers)
        }
        self._cycles: Counter[str] = Counter()
        self._cycle_starts = dict.fromkeys(_CAMPAIGNS, AS_OF - timedelta(hours=10))
        self._history: dict[tuple[str, ...], HistoryRow] = {}
        self._tracked: dict[Cnpj, Watermark] = {}
        self._opted_out: dict[tuple[str, str], datetime] = {}
        """By CNPJ and person."""
        self._expires_at: dict[Key, datetime] = {}
        self.trace: list[str] = []
        self._is_calm = False

    async def play(self) -> None:
        """Play to the end.

        Raises:
            BrokenPromiseError: A promise was broken.

        """
        for hour in range(self._rng.randint(2, 4)):
            if hour:
                await asyncio.sleep(self._rng.choice((900, 3600, 3600, 9 * 3600, 15 * 3600)))
            await self._start()
            await self._hour()
            await self._events(self._rng.randint(1, 4))
            await self._end_some()
        await self._come_to_rest()
        self._judge()

    # The senders

    async def _start(self) -> None:
        running = [process for process in self._processes if process.is_running]
        if any(not process.is_frozen for process in running) and self._rng.random() < 0.7:
            return
        process = SenderProcess(self.world, self._leases, self._rng, is_calm=self._is_calm)
        process.on_commit = self._maybe_opt_out
        process.trace = self.trace
        self._processes.append(process)
        self._say(f"sender {len(self._processes)} starts")
        await process.start()

    async def _end_some(self) -> None:
        for number, process in enumerate(self._processes, 1):
            if not process.is_running or process.is_frozen:
                continue
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
            await self._track(cnpj)
            rows = self._build(cnpj)
            await self._sync(cnpj, rows)

    def _build(self, cnpj: Cnpj) -> list[Target]:
        now, rng = self.world.now(), self._rng
        if now.hour >= 22 or now.hour < 12:
            return []
        expires_at = now.replace(hour=23, minute=0, second=0, microsecond=0)
        rows = []
        for campaign_type in _CAMPAIGNS:
            if rng.random() < 0.1 and now.date() != self._cycle_starts[campaign_type].date():
                self._cycles[campaign_type] += 1
                self._cycle_starts[campaign_type] = now.replace(hour=3, minute=0, second=0)
            for customer_id in self._customers:
                key = (str(cnpj), campaign_type, customer_id)
                if self._is_blocked(key) or (not self._is_calm and rng.random() < 0.15):
                    continue
                rows.append(self._row(cnpj, campaign_type, customer_id, expires_at))
                self._expires_at[key] = expires_at
        self._say(f"build {cnpj}: {[(row.campaign_type, row.customer_id) for row in rows]}")
        return rows

    def _is_blocked(self, key: Key) -> bool:
        """Decide as campaign_decisions does, from what tracking has brought."""
        cnpj, campaign_type, customer_id = key
        if (cnpj, same_person(self._phones[customer_id])) in self._opted_out:
            # Opt-outs reach the warehouse with an hour's delay; sometimes they have.
            return self._is_calm or self._rng.random() < 0.7
        start = self._cycle_starts[campaign_type]
        rows = [
            row for known, row in self._history.items() if known[:3] == key and row.sent_at >= start
        ]
        if any(row.status != "FAILED" for row in rows):
            return True
        counted = [row for row in rows if _counts(row.error_code)]
        return len(counted) >= _MAX_ATTEMPTS or any(row.recoverable is False for row in counted)

    def _row(
        self, cnpj: Cnpj, campaign_type: str, customer_id: str, expires_at: datetime
    ) -> Target:
        parameters = [
            {"parameter_name": "first_name", "text": "Ana"},
            {"parameter_name": "visit_count", "text": "10"},
        ]
        template = {"name": "vmhub_test_v1", "language": "pt_BR", "parameters": parameters}
        return make_target(
            customer_id,
            campaign_type=campaign_type,
            phone=self._phones[customer_id],
            data=json.dumps({"message": "Oi", "template": template}),
            cycle_key=f"R{self._cycles[campaign_type]}",
            cycle_start=self._cycle_starts[campaign_type],
            expires_at=expires_at,
            built_at=self.world.now(),
            cnpj=str(cnpj),
        )

    async def _sync(self, cnpj: Cnpj, rows: list[Target]) -> None:
        as_of = self.world.now()
        rng = self._rng

        def work(point: Callable[[str, str], None]) -> Any:
            return sync(
                _Source(rows, as_of),
                TargetStore(self._database(point), cnpj, watermark=self._tracked.get(cnpj)),
                cnpj=cnpj,
                as_of=as_of,
                campaign_types=_CAMPAIGNS,
                max_attempts=_MAX_ATTEMPTS,
                options=SyncOptions(max_withdraw_percent=100),
                retry=Retry(sleep=lambda _: None, rng=random.Random(self.seed)),
            )

        async def between() -> None:
            await asyncio.sleep(rng.choice((0, 0.001, 0.05, 2.0)))

        report = await stepped(work, between)
        self._require(report.stopped is None, f"sync was stopped: {report.stopped}")
        self._say(f"sync {cnpj}: {[(c.campaign_type, c.outcomes) for c in report.campaigns]}")

    async def _track(self, cnpj: Cnpj) -> None:
        if not self._is_calm and self._rng.random() < 0.2:
            return
        as_of = self.world.now()
        before = self._tracked.get(cnpj)
        since = None if before is None or before.until is None else before.until

        def work(point: Callable[[str, str], None]) -> list[HistoryRow]:
            reader = ChangeReader(self._database(point), Retry(sleep=lambda _: None))
            rows: list[HistoryRow] = []
            for campaign_type in _CAMPAIGNS:
                for document in reader.changed_of(cnpj, campaign_type, since):
                    rows += history_rows(document, as_of)[0]
            return rows

        async def between() -> None:
            await asyncio.sleep(0.001)

        for row in await stepped(work, between):
            self._history[(str(cnpj), *(str(part) for part in row.key))] = row
        self._tracked[cnpj] = Watermark(until=as_of)

    def _database(self, point: Callable[[str, str], None]) -> Database:
        channel: Any = SteppedChannel(self.world.backend, point)
        return Database(None, ROOT, channel, (), "Firestore")  # type: ignore[arg-type]

    # What else happens

    async def _events(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(self._rng.choice((1, 5, 40, 90)))
            self._event()
        await asyncio.sleep(self._rng.choice((5, 30)))

    def _event(self) -> None:
        rng, world = self._rng, self.world
        match rng.choice(("opt-out", "fault", "fault", "calm", "token", "template", "connection")):
            case "opt-out":
                self._opt_out()
            case "fault":
                kind, code = rng.choice(_FAULTS)
                self._say(f"fault {kind} {code}")
                world.rule(kind, code, times=rng.randint(1, 3))
            case "calm":
                world.state.faults.clear()
            case "token":
                self._set_token(is_valid=rng.random() < 0.5)
            case "template":
                self._set_template(rng.choice(("PAUSED", "APPROVED")))
            case "connection":
                is_reachable = rng.random() < 0.6
                for process in self._processes:
                    process.transport.is_reachable = is_reachable

    def _set_token(self, *, is_valid: bool) -> None:
        token = {"token": TOKEN, "waba_ids": ["3001", "3002"], "is_valid": is_valid}
        self.world.state.add_accounts(Accounts.model_validate({"tokens": [token]}))
        self._say(f"token valid: {is_valid}")

    def _set_template(self, status: str) -> None:
        for template_id in list(self.world.state.templates):
            self.world.state.change_template(template_id, status=status)
        self._say(f"template {status}")

    def _maybe_opt_out(self) -> None:
        if self._rng.random() < 0.02:
            self._opt_out()

    def _opt_out(self) -> None:
        cnpj = str(self._rng.choice(self._cnpjs))
        phone = self._phones[self._rng.choice(self._customers)]
        self.world.suppress(phone, cnpj=cnpj)
        self._opted_out.setdefault((cnpj, same_person(phone)), self.world.now())
        self._say(f"{phone} opts out of {cnpj}")

    # The end

    async def _come_to_rest(self) -> None:
        """Without faults, two days put everything in order that can be."""
        for process in self._processes:
            process.clear()
        self._processes.clear()
        self._is_calm = True
        self.world.state.faults.clear()
        self._set_token(is_valid=True)
        self._set_template("APPROVED")
        for _ in range(2):
            now = self.world.now()
            tomorrow = now.replace(hour=13, minute=0, second=0) + timedelta(days=1)
            await asyncio.sleep((tomorrow - now).total_seconds())
            await self._hour()
            await self._start()
            await asyncio.sleep(120)
            process = self._processes.pop()
            process.stop()
            await process.ended()
        for cnpj in self._cnpjs:
            await self._track(cnpj)

    def _judge(self) -> None:
        attempts = {
            name.rsplit("/", 1)[1]: self.world.get(name.removeprefix(f"{ROOT}/"))
            | {"cnpj": name.split("/")[-3]}
            for name in self.world.backend.names()
            if name.split("/")[-2] == "sends"
        }
        per_cycle: Counter[tuple[str, ...]] = Counter()
        for message in self.world.accepted:
            assert message.callback_data is not None
            _, cnpj, attempt_id = message.callback_data.split(".")
            self._require(attempt_id in attempts, f"{attempt_id} was sent without an open attempt")
            send = attempts[attempt_id]
            key = (cnpj, send["campaignType"], send["customerId"])
            per_cycle[(*key, send["cycleKey"])] += 1
            self._require(message.at < self._expires_at[key], f"{key} was sent after it expired")
            out = self._opted_out.get((cnpj, same_person(message.to)))
            self._require(out is None or message.at <= out, f"{key} was sent after an opt-out")
            told = send["status"]
            self._require(
                told in {"SENT", "SENDING", "UNKNOWN"}, f"{key} was accepted and is {told}"
            )
        twice = [key for key, count in per_cycle.items() if count > 1]
        self._require(not twice, f"messaged twice in a cycle: {twice}")
        self._judge_documents(per_cycle)

    def _judge_documents(self, accepted: Counter[tuple[str, ...]]) -> None:
        for name in self.world.backend.names():
            if name.split("/")[-2] != "targets":
                continue
            fields = self.world.get(name.removeprefix(f"{ROOT}/"))
            key = (fields["cnpj"], fields["campaignType"], fields["customerId"])
            log = fields.get("attemptLog", [])
            is_open = bool(log) and log[-1]["status"] == "SENDING"
            status = fields["status"]
            self._require(status in {"PENDING", "SENT", "FAILED"}, f"{key} is {status}")
            self._require(not (is_open and status != "PENDING"), f"{key} is {status} and open")
            if status == "SENT":
                sent = accepted[(*key, fields["cycleKey"])]
                self._require(sent == 1, f"{key} says SENT, and nothing was accepted")
            counted = sum(
                entry["status"] == "SENT"
                or (entry["status"] == "FAILED" and _counts(entry["error"]["code"]))
                for entry in log
            )
            self._require(counted == fields["attempts"], f"{key} counts {fields['attempts']}")
            is_out = (key[0], same_person(fields["phone"])) in self._opted_out
            waits = status == "PENDING" and not is_open
            self._require(not waits or is_out, f"{key} still waits")

    def _require(self, is_kept: bool, broken: str) -> None:  # noqa: FBT001 - a condition
        if not is_kept:
            story = "\n".join(self.trace)
            message = f"schedule {self.seed}: {broken}\n{story}"
            raise BrokenPromiseError(message)

    def _say(self, what: str) -> None:
        self.trace.append(f"{self.world.now():%d %H:%M:%S} {what}")


def _counts(code: str | None) -> bool:
    if code == "not_sent":
        return False
    if code is None or not code.isdecimal():
        return True
    return CLASSES.of(int(code)).counts_as_attempt


class _Source(FakeSource):
    """Rows of any laundromat."""

    def published_at(self, cnpj: Cnpj) -> datetime | None:  # noqa: ARG002 - of the port
        return self.built_at

    def targets(self, cnpj: Cnpj) -> Sequence[Sequence[Target]]:  # noqa: ARG002 - of the port
        return [self.rows]
