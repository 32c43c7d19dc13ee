"""The course of the month: the run of every hour, outages, sender and webhook in between."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

from loader.sync.run import SyncOptions
from tests.month.network import ACCOUNTS, WhatsAppNetwork
from tests.month.outbox import Outbox
from tests.month.wishes import check_nobody_is_bothered
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
    """Nothing is sent for the first laundromat, and the webhook is down."""
    missed_days: tuple[int, ...] = ()
    """There is no run at all."""
    untracked_days: tuple[int, ...] = ()
    """Tracking of the last laundromat fails; everything else works."""
    laundromats: int = 3

    def is_silent(self, number: int, at: datetime) -> bool:
        return self._happens("silent", number, at, 3) or (
            number == 0 and self._day(at) in self.silent_days
        )

    def is_deaf(self, at: datetime) -> bool:
        """Return whether the webhook is down."""
        return self._happens("deaf", 0, at, 6) or self._day(at) in self.silent_days

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
    """The laundromats, what they send, and the clock."""

    services: Services
    laundromats: list[Laundromat]
    outages: Outages
    on_figures: Callable[[Cnpj, datetime], None] = lambda _cnpj, _at: None
    """Called before a laundromat's figures are built."""
    figures_every_days: int = 1
    outboxes: dict[str, Outbox] = field(default_factory=dict)
    _network: WhatsAppNetwork | None = None
    _figured_on: dict[str, date] = field(default_factory=dict)

    @property
    def network(self) -> WhatsAppNetwork:
        assert self._network is not None
        return self._network

    def begin(self) -> None:
        """Create the laundromats with all their rows."""
        network = self._network = WhatsAppNetwork(self.services, self.outages.begin)
        for number, laundromat in enumerate(self.laundromats):
            make_laundromat(
                self.services,
                laundromat.cnpj,
                timezone=laundromat.timezone,
                clientes=laundromat.customers.values(),
                vendas=[sale.row() for sale in laundromat.sales],
            )
            change_settings(self.services, laundromat.cnpj, **laundromat.settings)
            account = ACCOUNTS[number]
            self.services.registry.set_whatsapp(laundromat.cnpj, account)
            for index, customer in enumerate(laundromat.customers.values()):
                phone = f"55{customer['telefone']}"
                # Nobody hides a number who shares it.
                hides = index % 4 == 3 and index % 9 not in {7, 8}
                network.add_person(phone, loses_ninth_digit=index % 3 == 0, hides_phone=hides)
            self.outboxes[laundromat.cnpj] = Outbox(
                self.services, laundromat, network, str(account["phoneNumberId"])
            )
            self.services.build(
                self.services.laundromat(laundromat.cnpj),
                as_of=self.outages.begin,
                arguments=["--select", "resource_type:seed"],
            )

    def play(self, at: datetime) -> None:
        """Play one hour: the run, then WhatsApp; check that nobody was messaged twice."""
        if not self.outages.is_missed(at):
            self._track(at)
            for number, laundromat in enumerate(self.laundromats):
                self._run(number, laundromat, at)
        self._send(at + timedelta(minutes=10))

    def _send(self, at: datetime) -> None:
        network = self.network
        known = len(network.transport.postings)
        loud: list[str | None] = [
            laundromat.cnpj
            for number, laundromat in enumerate(self.laundromats)
            if not self.outages.is_silent(number, at)
        ]
        # One process sends for all; while somebody is silent, each of the others has its own.
        senders = [None] if len(loud) == len(self.laundromats) else loud
        network.act(at, senders, is_deaf=self.outages.is_deaf(at))
        if len(network.transport.postings) == known:
            return
        for outbox in self.outboxes.values():
            outbox.gather(at)
            self._take_rows(outbox)
            check_nobody_was_messaged_twice(outbox)
            check_nobody_is_bothered(outbox)

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

    def _take_rows(self, outbox: Outbox) -> None:
        if not outbox.sales:
            return
        laundromat = outbox.laundromat
        (table,) = (it for it in self.services.project.source_tables() if it.name == "vendas")
        rows = [sale.row() for sale in outbox.sales]
        self.services.warehouse.append(table, laundromat.cnpj, rows)
        laundromat.sales += outbox.sales
        outbox.sales = []


def check_nobody_was_messaged_twice(outbox: Outbox) -> None:
    """Check WhatsApp's accepted messages, by calendar cycle and by the documents' own cycle.

    Only what WhatsApp has told to have failed may be followed by another message.
    """
    taken = [
        attempt for attempt in outbox.log if attempt.message is not None and not attempt.has_failed
    ]
    periods: Counter[tuple[str, ...]] = Counter()
    for attempt in taken:
        day = outbox.laundromat.local(attempt.at).date()
        phone = outbox.laundromat.customers[attempt.customer_id]["telefone"]
        # A loyalty cycle is three months, longer than this test; a welcome comes once.
        period = {"BIRTHDAY": f"{day:%Y}", "REACTIVATION": f"{day:%Y-%m}"}
        periods[attempt.campaign_type, attempt.customer_id, attempt.cycle_key] += 1
        whose = attempt.customer_id if attempt.campaign_type == "BIRTHDAY" else phone
        periods[
            "calendar", attempt.campaign_type, whose, period.get(attempt.campaign_type, "")
        ] += 1
    twice = [place for place, number in periods.items() if number > 1]
    assert not twice, f"{outbox.cnpj}: messaged twice: {twice}"
