"""Tracking and sync over a Firestore in memory, while receipts and opt-outs come at any time."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from loader.base.cnpj import Cnpj
from loader.base.persons import person_keys
from loader.base.retry import Retry
from loader.firestore.changes import ChangeReader
from loader.firestore.client import Database
from loader.firestore.registry import RegistryEntry
from loader.firestore.targets import TargetStore
from loader.messages import Watermark
from loader.receipts import merged
from loader.sync.model import Outcome
from loader.sync.run import SyncOptions, sync
from loader.track.news import own_news
from loader.wishes import live_keys
from tests.faults.steps import SteppedChannel
from tests.loader.fakes import FakeSource, make_target
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, NUMERIC_CNPJ
from tests.whatsapp.sending.world import ROOT, World

if TYPE_CHECKING:
    from datetime import datetime

    from loader.messages import HistoryRow
    from loader.wishes import OptOutRow

HOUR = timedelta(hours=1)
CNPJS = (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ)
CUSTOMERS = tuple(f"c{number}" for number in range(6))
RECEIPTS = ("deliveredAt", "readAt", "repliedAt")
OVERLAP = timedelta(minutes=10)


def phone_of(cnpj: str, customer_id: str) -> str:
    return f"+551199{CNPJS.index(Cnpj(cnpj))}0000{customer_id[1:].zfill(2)}"


class Days:
    """Two laundromats over some cycles: targets, attempts, late receipts, opt-outs, tracking."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.world = World(seed=seed)
        self.now = AS_OF
        self.tables: dict[str, dict[Any, HistoryRow]] = {cnpj: {} for cnpj in CNPJS}
        self.opt_outs: dict[str, dict[str, OptOutRow]] = {cnpj: {} for cnpj in CNPJS}
        self.watermarks: dict[str, Watermark] = {cnpj: Watermark() for cnpj in CNPJS}
        self.out: dict[tuple[str, str], datetime] = {}
        self.began: dict[tuple[str, str], datetime] = {}
        """When a laundromat's cycle began."""
        self.expected: dict[tuple[str, str, str, int], dict[str, Any]] = {}
        """What was said of each attempt, by laundromat, customer, cycle and number."""
        self.sends: dict[str, dict[str, Any]] = {}
        channel: Any = SteppedChannel(self.world.backend, lambda _what, _moment: None)
        self.database = Database(None, ROOT, channel, (), "Firestore")  # type: ignore[arg-type]

    def play(self) -> None:
        for cycle in range(3):
            for cnpj in CNPJS:
                self.sync(cnpj, f"cycle-{cycle}")
            for _ in range(40):
                self.pass_time()
                self.event(f"cycle-{cycle}")
            for cnpj in CNPJS:
                self.track(cnpj)
        for _ in range(15):
            self.pass_time()
            self.receipt()
        for cnpj in CNPJS:
            self.track(cnpj)

    def pass_time(self) -> None:
        self.now += timedelta(seconds=self.rng.randrange(1, 4_000))

    def event(self, cycle: str) -> None:
        chance = self.rng.random()
        if chance < 0.45:
            self.send(self.rng.choice(CNPJS), self.rng.choice(CUSTOMERS), cycle)
        elif chance < 0.8:
            self.receipt()
        elif chance < 0.85:
            self.opt_out(self.rng.choice(CNPJS), self.rng.choice(CUSTOMERS))
        elif chance < 0.9:
            self.sync(self.rng.choice(CNPJS), cycle)
        else:
            self.track(self.rng.choice(CNPJS))

    def path(self, cnpj: str, customer_id: str) -> str:
        return f"users/{cnpj}/campaigns/BIRTHDAY/targets/{customer_id}"

    def send(self, cnpj: str, customer_id: str, cycle: str) -> None:
        target = self.world.get(self.path(cnpj, customer_id))
        if target.get("status") != "PENDING" or target["cycleKey"] != cycle:
            return
        log = list(target.get("attemptLog", ()))
        number = len(log) + 1
        has_failed = self.rng.random() < 0.3 and number < 3
        status = "FAILED" if has_failed else "SENT"
        attempt_id = f"{cnpj}-{customer_id}-{cycle}-{number}"
        entry = {"attempt": number, "attemptId": attempt_id, "at": self.now, "status": status}
        error = {"code": "131000", "recoverable": True}
        changes: dict[str, Any] = {
            "attemptLog": [*log, entry | ({"error": error} if has_failed else {"messageId": "m"})],
            "attempts": number,
            "status": "PENDING" if has_failed else "SENT",
            "updatedAt": self.now,
        }
        self.world.put(self.path(cnpj, customer_id), changes)
        self.sends[attempt_id] = {"cnpj": cnpj, "status": status}
        fields = {
            "campaignType": "BIRTHDAY",
            "customerId": customer_id,
            "cycleKey": cycle,
            "attempt": number,
            "at": self.now,
            "status": status,
            "error": error if has_failed else None,
            "messageId": None if has_failed else "m",
            "updatedAt": self.now,
        }
        self.world.put(f"users/{cnpj}/sends/{attempt_id}", fields)
        self.expected[cnpj, customer_id, cycle, number] = {"status": status, "sent_at": self.now}
        self.sends[attempt_id]["key"] = (cnpj, customer_id, cycle, number)

    def receipt(self) -> None:
        """Tell of an attempt of any cycle, on its own document only."""
        if not self.sends:
            return
        attempt_id = self.rng.choice(sorted(self.sends))
        known = self.sends[attempt_id]
        name = self.rng.choice(RECEIPTS)
        said = self.expected[known["key"]]
        if name in said or (said["status"] == "FAILED" and name == "repliedAt"):
            return
        said[name] = self.now
        self.world.put(
            f"users/{known['cnpj']}/sends/{attempt_id}", {name: self.now, "updatedAt": self.now}
        )

    def opt_out(self, cnpj: str, customer_id: str) -> None:
        self.out.setdefault((cnpj, customer_id), self.now)
        self.world.put(
            f"users/{cnpj}/suppressions/{cnpj}-{customer_id}",
            {
                "keys": person_keys(phone=phone_of(cnpj, customer_id)),
                "optedOutAt": self.now,
                "updatedAt": self.now,
            },
        )

    def track(self, cnpj: Cnpj) -> None:
        until = self.watermarks[cnpj].until
        reader = ChangeReader(self.database, Retry(patience_seconds=0))
        entry = RegistryEntry(cnpj, "", None, campaign_types=frozenset({"BIRTHDAY"}))
        news = own_news(reader, entry, self.now, since=until - OVERLAP if until else None)
        assert news.oddities == []
        table = self.tables[cnpj]
        for key, row in news.rows.items():
            table[key] = merged(table[key], row) if key in table else row
        self.opt_outs[cnpj] |= news.wishes
        self.watermarks[cnpj] = Watermark(until=self.now)

    def sync(self, cnpj: Cnpj, cycle: str) -> None:
        """Sync with targets of everybody whom no build knows to have opted out."""
        began = self.began.setdefault((cnpj, cycle), self.now)
        rows = [
            make_target(
                customer_id,
                cnpj=cnpj,
                phone=phone_of(cnpj, customer_id),
                cycle_key=cycle,
                cycle_start=began,
                expires_at=began + 1000 * HOUR,
                built_at=self.now,
            )
            for customer_id in CUSTOMERS
            if f"{cnpj}-{customer_id}" not in self.opt_outs[cnpj]
        ]
        reader = ChangeReader(self.database, Retry(patience_seconds=0))
        until = self.watermarks[cnpj].until
        report = sync(
            AnySource(rows, self.now),
            TargetStore(self.database, cnpj, watermark=self.watermarks[cnpj]),
            cnpj=cnpj,
            as_of=self.now,
            campaign_types=("BIRTHDAY",),
            max_attempts=3,
            suppressed_keys=lambda: live_keys(reader.suppressions(until, cnpj)),
            options=SyncOptions(max_withdraw_percent=100),
            retry=Retry(sleep=lambda _: None),
        )
        assert report.exit_code in (0, 3)
        assert report.total(*Outcome) - report.total(Outcome.WITHDRAWN) == len(rows)
        for customer_id in CUSTOMERS:
            if (cnpj, customer_id) in self.out:
                document = self.world.get(self.path(cnpj, customer_id))
                assert document.get("status") != "PENDING"


class AnySource(FakeSource):
    """Targets of any laundromat."""

    def published_at(self, cnpj: Cnpj) -> datetime | None:
        return self.built_at if cnpj else None

    def targets(self, cnpj: Cnpj) -> Any:
        return super().targets(NUMERIC_CNPJ) if cnpj else []


@pytest.mark.parametrize("seed", range(12))
def test_every_attempt_ends_as_its_receipts_say_and_nobody_who_opted_out_is_queued(
    seed: int,
) -> None:
    days = Days(seed)
    days.play()
    found = {
        (cnpj, row.user_id, row.cycle_key, row.attempt): row
        for cnpj, table in days.tables.items()
        for row in table.values()
    }
    assert set(found) == set(days.expected)
    for key, said in days.expected.items():
        row = found[key]
        assert row.sent_at == said["sent_at"]
        assert (row.delivered_at, row.read_at, row.replied_at) == tuple(
            said.get(name) for name in RECEIPTS
        )
        status = said["status"]
        if "readAt" in said:
            status = "READ"
        elif "deliveredAt" in said:
            status = "DELIVERED"
        assert row.status == status
        assert row.phone == phone_of(key[0], key[1])
    for cnpj in CNPJS:
        assert set(days.opt_outs[cnpj]) == {f"{of}-{who}" for of, who in days.out if of == cnpj}
    assert len(found) > 10
