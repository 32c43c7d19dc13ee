"""The course of the month: the run of every hour, outages, and the sender in between."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

from loader.sync.run import SyncOptions
from tests.month.sender import Sender
from tests.support import HOURLY_BUILD, change_settings, make_laundromat

if TYPE_CHECKING:
    from collections.abc import Callable

    from loader.base.cnpj import Cnpj
    from loader.services import Services
    from tests.month.world import Laundromat

__all__ = ["DAILY_BUILD", "Course", "Outages"]

DAILY_BUILD = ["--selector", "daily"]
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Outages:
    """What is down when: random single hours, and longer outages early on."""

    begin: datetime
    silent_days: tuple[int, ...] = ()
    """The sender of the first laundromat is down."""
    missed_days: tuple[int, ...] = ()
    """There is no run at all."""
    untracked_days: tuple[int, ...] = ()
    """Tracking of the last laundromat fails; everything else works."""
    laundromats: int = 3

    def is_silent(self, number: int, at: datetime) -> bool:
        return self._happens("silent", number, at, 3) or (
            number == 0 and self._day(at) in self.silent_days
        )

    def is_missed(self, at: datetime) -> bool:
        return self._happens("missed", 0, at, 4) or self._day(at) in self.missed_days

    def is_untracked(self, number: int, at: datetime) -> bool:
        return self._happens("untracked", number, at, 6) or (
            number == self.laundromats - 1 and self._day(at) in self.untracked_days
        )

    def is_cut_short(self, number: int, at: datetime) -> bool:
        """Return whether the run is killed between build and sync."""
        return self._happens("cut", number, at, 3)

    def _day(self, at: datetime) -> int:
        return (at - self.begin).days

    @staticmethod
    def _happens(what: str, number: int, at: datetime, percent: int) -> bool:
        name = f"{what} {number} {at:%Y-%m-%d %H}"
        return blake2b(name.encode(), digest_size=2).digest()[0] < percent * 256 // 100


@dataclass
class Course:
    """The laundromats, their senders, and the clock."""

    services: Services
    laundromats: list[Laundromat]
    outages: Outages
    on_figures: Callable[[Cnpj, datetime], None] = lambda _cnpj, _at: None
    """Called before a laundromat's figures are built."""
    figures_every_days: int = 1
    senders: dict[str, Sender] = field(default_factory=dict)
    _figured_on: dict[str, date] = field(default_factory=dict)

    def begin(self) -> None:
        """Create the laundromats with all their rows."""
        for number, laundromat in enumerate(self.laundromats):
            make_laundromat(
                self.services,
                laundromat.cnpj,
                timezone=laundromat.timezone,
                clientes=laundromat.customers.values(),
                vendas=[sale.row() for sale in laundromat.sales],
            )
            change_settings(self.services, laundromat.cnpj, **laundromat.settings)
            self.senders[laundromat.cnpj] = Sender(
                self.services.environment,
                laundromat,
                lambda at, number=number: self.outages.is_silent(number, at),  # type: ignore[misc]
            )
            self.services.build(
                self.services.laundromat(laundromat.cnpj),
                as_of=self.outages.begin,
                arguments=["--select", "resource_type:seed"],
            )

    def play(self, at: datetime) -> None:
        """Play one hour: the run, then the senders; check that nobody was messaged twice."""
        if not self.outages.is_missed(at):
            self._track(at)
            for number, laundromat in enumerate(self.laundromats):
                self._run(number, laundromat, at)
        for sender in self.senders.values():
            sender.act(at + timedelta(minutes=10))
            self._take_rows(sender)
            check_nobody_was_messaged_twice(sender)

    def _track(self, at: datetime) -> None:
        tracked = [
            laundromat.cnpj
            for number, laundromat in enumerate(self.laundromats)
            if not self.outages.is_untracked(number, at)
        ]
        if tracked:
            report = self.services.track(tracked, as_of=at)
            assert report.exit_code == 0, report

    def _run(self, number: int, laundromat: Laundromat, at: datetime) -> None:
        cnpj = laundromat.cnpj
        if not laundromat.is_building(at):
            return
        self.services.build(self.services.laundromat(cnpj), as_of=at, arguments=HOURLY_BUILD)
        day = laundromat.local(at).date()
        if (day - self._figured_on.get(cnpj, date.min)).days >= self.figures_every_days:
            self._figured_on[cnpj] = day
            self.build_figures(cnpj, at)
        if not self.outages.is_cut_short(number, at):
            options = SyncOptions(max_withdraw_percent=100)
            report = self.services.sync(self.services.laundromat(cnpj), as_of=at, options=options)
            assert report.exit_code == 0, report

    def build_figures(self, cnpj: Cnpj, at: datetime) -> None:
        self.on_figures(cnpj, at)
        self.services.build(self.services.laundromat(cnpj), as_of=at, arguments=DAILY_BUILD)

    def _take_rows(self, sender: Sender) -> None:
        cnpj = sender.laundromat.cnpj
        tables = {table.name: table for table in self.services.project.source_tables()}
        rows = {"opt_outs": sender.opt_outs, "vendas": [sale.row() for sale in sender.sales]}
        for table, content in rows.items():
            self.services.warehouse.append(tables[table], cnpj, content)
        sender.laundromat.sales += sender.sales
        sender.opt_outs, sender.sales = [], []


def check_nobody_was_messaged_twice(sender: Sender) -> None:
    """Check WhatsApp's accepted messages, by calendar cycle and by the documents' own cycle."""
    taken = [attempt for attempt in sender.log if not attempt.has_failed]
    periods: Counter[tuple[str, ...]] = Counter()
    for attempt in taken:
        day = sender.laundromat.local(attempt.at).date()
        phone = sender.laundromat.customers[attempt.customer_id]["telefone"]
        # A loyalty cycle is three months, longer than this test; a welcome comes once.
        period = {"BIRTHDAY": f"{day:%Y}", "REACTIVATION": f"{day:%Y-%m}"}
        periods[attempt.campaign_type, attempt.customer_id, attempt.cycle_key] += 1
        whose = attempt.customer_id if attempt.campaign_type == "BIRTHDAY" else phone
        periods[
            "calendar", attempt.campaign_type, whose, period.get(attempt.campaign_type, "")
        ] += 1
    twice = [place for place, number in periods.items() if number > 1]
    assert not twice, f"{sender.laundromat.cnpj}: messaged twice: {twice}"
