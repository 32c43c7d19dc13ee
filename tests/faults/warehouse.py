"""What dbt would build hour after hour, decided from what tracking has brought; scripted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from loader.base.persons import person_keys
from loader.messages import Watermark
from loader.receipts import merged
from tests.loader.fakes import make_target
from tests.support import AS_OF
from tests.whatsapp.sending.world import CLASSES, phone_of

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from loader.base.cnpj import Cnpj
    from loader.messages import HistoryRow
    from loader.sync.model import Target
    from loader.track.news import News
    from loader.wishes import OptOutRow

__all__ = ["CAMPAIGNS", "MAX_ATTEMPTS", "Built", "Key", "Warehouse", "counts"]

CAMPAIGNS = ("BIRTHDAY", "REACTIVATION")
MAX_ATTEMPTS = 3

Key = tuple[str, str, str]
"""CNPJ, campaign type and customer id."""


@dataclass
class Built:
    """One laundromat's campaign_targets, as sync reads it."""

    built_at: datetime
    rows: list[Target]
    rejects: list[Target] = field(default_factory=list)

    def published_at(self, cnpj: Cnpj) -> datetime | None:  # noqa: ARG002 - of the port
        return self.built_at

    def targets(self, cnpj: Cnpj) -> Sequence[Sequence[Target]]:  # noqa: ARG002 - of the port
        return [[*self.rows, *self.rejects]]

    def opted_out(self, cnpj: Cnpj) -> set[tuple[str, str]]:  # noqa: ARG002 - of the port
        return set()


class Warehouse:
    """History, opt-outs and decisions of some laundromats with the same customers."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.customers = [f"c{number}" for number in range(rng.randint(1, 4))]
        # A family phone now and then.
        phones = rng.randint(1, len(self.customers))
        self.phones = {
            customer: phone_of(number % phones) for number, customer in enumerate(self.customers)
        }
        self._cycles: Counter[str] = Counter()
        self._cycle_starts = dict.fromkeys(CAMPAIGNS, AS_OF - timedelta(hours=10))
        self._versions: Counter[Key] = Counter()
        self.history: dict[tuple[str, ...], HistoryRow] = {}
        """By CNPJ and the key of message_history."""
        self.wishes: dict[tuple[str, str], OptOutRow] = {}
        """What builds know of opt-outs, by CNPJ and the event's id."""
        self.watermarks: dict[Cnpj, Watermark] = {}
        self.opted_out: dict[tuple[str, str], datetime] = {}
        """By CNPJ and person; what really happened."""
        self.expires_at: dict[Key, datetime] = {}
        """The latest permission to send."""

    def record(self, cnpj: Cnpj, news: News) -> None:
        """Take over what tracking has read, as its MERGEs do."""
        for row in news.rows.values():
            key = (str(cnpj), *(str(part) for part in row.key))
            known = self.history.get(key)
            self.history[key] = row if known is None else merged(known, row)
        for event_id, wish in news.wishes.items():
            self.wishes[str(cnpj), event_id] = wish

    def track_up_to(self, cnpj: Cnpj, until: datetime) -> None:
        """Move a watermark."""
        self.watermarks[cnpj] = Watermark(until=until)

    def build(self, cnpj: Cnpj, now: datetime, *, is_calm: bool) -> Built:
        """Publish a new campaign_targets: customers, payloads, cycles and history change."""
        rng = self._rng
        built = Built(now, [])
        if now.hour >= 22 or now.hour < 12:
            return built
        expires_at = now.replace(hour=23, minute=0, second=0, microsecond=0)
        for campaign_type in CAMPAIGNS:
            if rng.random() < 0.25 and now.date() != self._cycle_starts[campaign_type].date():
                self._cycles[campaign_type] += 1
                self._cycle_starts[campaign_type] = now.replace(hour=3, minute=0, second=0)
            for customer_id in self.customers:
                key = (str(cnpj), campaign_type, customer_id)
                if self._is_blocked(key) or (not is_calm and rng.random() < 0.15):
                    continue
                self._versions[key] += not is_calm and rng.random() < 0.2
                built.rows.append(self._row(key, now, expires_at))
                self.expires_at[key] = expires_at
        if not is_calm and rng.random() < 0.2:
            built.rejects.append(make_target("a/b", cnpj=str(cnpj), built_at=now))
        return built

    def _is_blocked(self, key: Key) -> bool:
        """Decide as campaign_decisions does."""
        cnpj, _, customer_id = key
        person = set(person_keys(phone=self.phones[customer_id], customer_id=customer_id))
        wishes = (wish for (of, _), wish in self.wishes.items() if of == cnpj)
        if any(
            wish.resumed_at is None
            and person & set(person_keys(phone=wish.phone, customer_id=wish.user_id))
            for wish in wishes
        ):
            return True
        if self.is_messaged(key):
            return True
        counted = [row for row in self._rows(key) if counts(row.error_code)]
        return len(counted) >= MAX_ATTEMPTS or any(row.recoverable is False for row in counted)

    def is_messaged(self, key: Key) -> bool:
        """Return whether the history says that a message of this cycle went out."""
        return any(row.status != "FAILED" for row in self._rows(key))

    def _rows(self, key: Key) -> list[HistoryRow]:
        start = self._cycle_starts[key[1]]
        return [
            row for known, row in self.history.items() if known[:3] == key and row.sent_at >= start
        ]

    def _row(self, key: Key, now: datetime, expires_at: datetime) -> Target:
        cnpj, campaign_type, customer_id = key
        parameters = [
            {"parameter_name": "first_name", "text": "Ana"},
            {"parameter_name": "visit_count", "text": "10"},
        ]
        template = {"name": "vmhub_test_v1", "language": "pt_BR", "parameters": parameters}
        message = f"Oi {self._versions[key]}"
        return make_target(
            customer_id,
            campaign_type=campaign_type,
            phone=self.phones[customer_id],
            data=json.dumps({"message": message, "template": template}),
            cycle_key=f"R{self._cycles[campaign_type]}",
            cycle_start=self._cycle_starts[campaign_type],
            expires_at=expires_at,
            built_at=now,
            cnpj=cnpj,
        )


def counts(code: str | None) -> bool:
    """Return whether a failure with this code is one of the attempts that a customer has."""
    if code == "not_sent":
        return False
    if code is None or not code.isdecimal():
        return True
    return CLASSES.of(int(code)).counts_as_attempt
