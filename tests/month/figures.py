"""A laundromat's figures, computed in plain Python from its sales and what WhatsApp knows."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from console.report.page import render
from loader.cli.report import figures_of_laundromat
from tests.month.tables import PRICE_BRL, CycleKey, TableFigures
from tests.support import decisions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loader.services import Services
    from tests.month.outbox import Attempt, Outbox
    from tests.month.world import Sale

__all__ = ["Observer", "check_figures"]

_ERROR_CLASSES = {
    "131016": "temporary",
    "131026": "unreachable",
    "131042": "sender",
    "131049": "deferred",
    "131050": "opted_out",
    "131056": "temporary",
    "not_sent": "unknown",
    "unknown_outcome": "unknown",
}
_TOO_FEW = 50
_DAYS_OF_THE_REPORT = 60
_TILE = re.compile(r"<strong[^>]*>(?:R\$\s)?([^<]*)</strong><span>([^<]*)</span>")
_NORMAL_95 = 1.959963984540054


@dataclass
class Observer:
    """Records who was a candidate each time the figures were built."""

    services: Services
    seen: dict[str, dict[CycleKey, list[tuple[datetime, tuple[str, ...]]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    """Instants with their blockers, by CNPJ and cycle."""

    def note(self, cnpj: Any, at: datetime) -> None:
        for (campaign_type, customer_id), row in decisions(self.services, cnpj).items():
            key = (campaign_type, customer_id, row["cycle_key"])
            self.seen[cnpj][key].append((at, tuple(row["blockers"])))


def check_figures(services: Services, outbox: Outbox, observer: Observer, now: datetime) -> None:
    """Compare every figure of a laundromat with what WhatsApp and its customers know."""
    figures = _Figures(outbox, observer.seen[outbox.cnpj], now)
    tables = TableFigures(services, outbox.cnpj)
    assert tables.messages() == figures.messages()
    assert tables.cycles() == figures.cycles()
    assert tables.attempts() == figures.attempts()
    assert tables.days() == figures.days()
    assert tables.conversions() == figures.conversions()
    assert tables.redemptions() == figures.redemptions()
    assert tables.lift() == figures.lift()
    cnpj = outbox.laundromat.cnpj
    page = render(figures_of_laundromat(services, cnpj, as_of=now, days=_DAYS_OF_THE_REPORT))
    assert {name: figure for figure, name in _TILE.findall(page)} == figures.tiles()


class _Figures:
    """The figures by WhatsApp and the customers."""

    def __init__(
        self,
        outbox: Outbox,
        seen: dict[CycleKey, list[tuple[datetime, tuple[str, ...]]]],
        now: datetime,
    ) -> None:
        self._laundromat = outbox.laundromat
        self._log = outbox.log
        self._seen = seen
        self._now = now
        self._window = timedelta(days=self._laundromat.settings["conversion_days"])

    def _newest(self) -> dict[CycleKey, Attempt]:
        newest: dict[CycleKey, Attempt] = {}
        for attempt in sorted(self._log, key=lambda it: it.number):
            newest[attempt.key[:3]] = attempt
        return newest

    def _messages(self) -> dict[CycleKey, Attempt]:
        """Return the messages that went out."""
        newest = self._newest().items()
        return {key: it for key, it in newest if it.status not in ("PENDING", "FAILED")}

    def messages(self) -> dict[CycleKey, Any]:
        return {
            key: (it.number, it.at, it.status, it.variant) for key, it in self._newest().items()
        }

    def cycles(self) -> dict[CycleKey, Any]:
        found: dict[CycleKey, Any] = {}
        for key in {*self._seen, *(attempt.key[:3] for attempt in self._log)}:
            builds = self._seen.get(key, [])
            targeted = [at for at, blockers in builds if not blockers]
            targeted += [attempt.at for attempt in self._log if attempt.key[:3] == key]
            found[key] = (
                min((at for at, _ in builds), default=None),
                min(targeted, default=None),
                min((at for at, blockers in builds if blockers == ("HOLDOUT",)), default=None),
            )
        return found

    def attempts(self) -> Counter[tuple[str, str, date, str]]:
        counted: Counter[tuple[str, str, date, str]] = Counter()
        for attempt in self._log:
            if attempt.status == "PENDING":
                continue
            is_sent = not attempt.has_failed
            error = _ERROR_CLASSES[attempt.error_code] if attempt.error_code else ""
            is_delivered = is_sent and attempt.status in ("DELIVERED", "READ")
            events = {
                "attempts": True,
                "sent": is_sent,
                "delivered": is_delivered,
                "billed": is_delivered and attempt.has_price,
                "unpriced": is_delivered and not attempt.has_price,
                "read": is_sent and attempt.read_at is not None,
                "replied": is_sent and attempt.replied_at is not None,
                "failed": not is_sent,
                f"failed_{error}": not is_sent,
            }
            day = self._laundromat.local(attempt.at).date()
            for name, happened in events.items():
                counted[attempt.campaign_type, attempt.variant, day, name] += happened
        return +counted

    def days(self) -> Counter[tuple[str, date, str]]:
        counted: Counter[tuple[str, date, str]] = Counter()
        for (campaign_type, _, _), (seen_at, targeted_at, held_out_at) in self.cycles().items():
            instants = {
                "candidates": min(it for it in (seen_at, targeted_at) if it is not None),
                "targets": targeted_at,
                "held_out": held_out_at,
            }
            for name, instant in instants.items():
                if instant is not None:
                    counted[campaign_type, self._laundromat.local(instant).date(), name] += 1
        return counted

    def _sales(self) -> Iterable[Sale]:
        return (sale for sale in self._laundromat.sales if sale.at <= self._now)

    def conversions(self) -> dict[CycleKey, Any]:
        by_cpf: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in self._messages().values():
            by_cpf[self._laundromat.customers[attempt.customer_id]["cpf"]].append(attempt)
        credited: dict[CycleKey, list[Sale]] = defaultdict(list)
        for sale in self._sales():
            before = [
                it for it in by_cpf[sale.cpf] if timedelta() < sale.at - it.at <= self._window
            ]
            if before:
                # The last message; of several at one instant, the first by name.
                last = min(before, key=lambda it: (-it.at.timestamp(), *it.key))
                credited[last.key[:3]].append(sale)
        return {
            key: (
                min(sale.at for sale in sales),
                len(sales),
                round(sum(sale.amount_brl for sale in sales), 2),
            )
            for key, sales in credited.items()
        }

    def redemptions(self) -> dict[str, Any]:
        owners = {it.voucher_code: it for it in self._messages().values() if it.voucher_code}
        used: dict[str, list[Sale]] = defaultdict(list)
        for sale in self._sales():
            if sale.voucher_code:
                used[sale.voucher_code].append(sale)
        found = {}
        for code in {*owners, *used}:
            owner = owners[code].customer_id if code in owners else None
            cpf = self._laundromat.customers[owner]["cpf"] if owner else None
            found[str(code)] = (
                owner,
                len(used[str(code)]),
                min((sale.at for sale in used[str(code)]), default=None),
                round(sum(sale.amount_brl for sale in used[str(code)]), 2),
                owner is not None and any(sale.cpf != cpf for sale in used[str(code)]),
            )
        return found

    def tiles(self) -> dict[str, str]:
        """Return the big numbers of the page by name, in Brazilian format."""
        counted: Counter[str] = Counter()
        for (_, _, _, name), number in self.attempts().items():
            counted[name] += number
        conversions = self.conversions().values()
        revenue = sum((Decimal(str(revenue)) for _, _, revenue in conversions), Decimal(0))
        swapped = str.maketrans(",.", ".,")
        return {
            name: f"{value:{form}}".translate(swapped)
            for name, value, form in (
                ("mensagens enviadas", counted["sent"], ","),
                ("entregues", counted["delivered"], ","),
                ("lidas, ao menos", counted["read"], ","),
                ("responderam", counted["replied"], ","),
                ("falharam", counted["failed"], ","),
                ("compras creditadas", sum(count for _, count, _ in conversions), ","),
                ("receita creditada", revenue, ",.2f"),
                ("custo das mensagens", counted["billed"] * PRICE_BRL, ",.2f"),
            )
        }

    def lift(self) -> dict[str, Any]:
        assigned: dict[str, dict[tuple[str, int], tuple[datetime, bool]]] = defaultdict(dict)
        for (campaign_type, customer_id, _), cycle in self.cycles().items():
            seen_at, targeted_at, held_out_at = cycle
            if seen_at is None:
                continue
            groups = []
            if targeted_at is not None and targeted_at >= seen_at:
                groups.append((targeted_at, True))
            if held_out_at is not None:
                groups.append((held_out_at, False))
            for at, is_treated in groups:
                person = (customer_id, self._laundromat.local(at).year)
                known = assigned[campaign_type].get(person)
                if known is None or (at, not is_treated) < (known[0], not known[1]):
                    assigned[campaign_type][person] = (at, is_treated)
        held_out = {key[0] for key, cycle in self.cycles().items() if cycle[0] and cycle[2]}
        return {campaign: self._compared(assigned[campaign]) for campaign in held_out}

    def _compared(self, people: dict[tuple[str, int], tuple[datetime, bool]]) -> tuple[Any, ...]:
        counts = {True: [0, 0], False: [0, 0]}
        for (customer_id, _), (at, is_treated) in people.items():
            if at + self._window > self._now:
                continue
            cpf = self._laundromat.customers[customer_id]["cpf"]
            bought = any(
                sale.cpf == cpf and timedelta() < sale.at - at <= self._window
                for sale in self._sales()
            )
            counts[is_treated][0] += 1
            counts[is_treated][1] += bought
        (treated, converted), (held_out, held_converted) = counts[True], counts[False]
        interval = _newcombe(converted, treated, held_converted, held_out)
        verdict = "TOO_FEW_TO_TELL"
        if min(treated, held_out) >= _TOO_FEW and interval[0] is not None:
            _, low, high = interval
            if low > 0:
                verdict = "MORE_PURCHASES"
            elif high < 0:
                verdict = "FEWER_PURCHASES"
            elif high - low <= 0.2:
                verdict = "NO_CLEAR_DIFFERENCE"
        rounded = (None if value is None else round(value, 4) for value in interval)
        return (treated, converted, held_out, held_converted, *rounded, verdict)


def _newcombe(x: int, n: int, y: int, m: int) -> tuple[Any, Any, Any]:
    """Return the difference of two rates with its 95 % interval: Newcombe (1998), method 10."""
    if not n or not m:
        return None, None, None
    p, q = x / n, y / m
    (p_low, p_high), (q_low, q_high) = _wilson(x, n), _wilson(y, m)
    return (
        p - q,
        p - q - math.hypot(p - p_low, q_high - q),
        p - q + math.hypot(p_high - p, q - q_low),
    )


def _wilson(x: int, n: int) -> tuple[float, float]:
    p, z = x / n, _NORMAL_95
    middle = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)
