"""How much may be sent: people in 24 hours per portfolio, money in a month per laundromat. Pure."""

from __future__ import annotations

import re
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MoneyBudget", "PeopleBudget", "people_limit"]

_DAY = timedelta(hours=24)
_SHARE = 0.9
_TIER = re.compile(r"TIER_(\d{1,7})(K?)")
_UNLIMITED = "TIER_UNLIMITED"
_LEAST = 250


def people_limit(tier: object) -> int | None:
    """Return to how many people a portfolio may send in 24 hours; None: no limit.

    The tier is WhatsApp's text, such as ``TIER_2K``. One that cannot be read counts as the smallest
    limit that WhatsApp gives.
    """
    if tier == _UNLIMITED:
        return None
    found = _TIER.fullmatch(str(tier))
    if found is None:
        return _LEAST
    return int(found[1]) * (1_000 if found[2] else 1)


class PeopleBudget:
    """Distinct people in the last 24 hours; a tenth of the limit is left for other programs."""

    def __init__(self, limit: int | None) -> None:
        """Begin without any person."""
        self._limit = limit
        self._people: OrderedDict[str, datetime] = OrderedDict()

    def set_limit(self, limit: int | None) -> None:
        """Use another limit."""
        self._limit = limit

    def load(self, sent: Iterable[tuple[str, datetime]]) -> None:
        """Remember who was written to; the oldest come first."""
        for person, at in sent:
            self._note(person, at)

    def take(self, person: str, now: datetime) -> bool:
        """Count a person who is about to be written to; False: the limit is reached."""
        self._forget(now)
        if person not in self._people and self.left(now) == 0:
            return False
        self._note(person, now)
        return True

    def left(self, now: datetime) -> int | None:
        """Return how many more people there may be; None: any number."""
        self._forget(now)
        if self._limit is None:
            return None
        return max(0, int(self._limit * _SHARE) - len(self._people))

    def _note(self, person: str, at: datetime) -> None:
        self._people[person] = at
        self._people.move_to_end(person)

    def _forget(self, now: datetime) -> None:
        while self._people:
            person, at = next(iter(self._people.items()))
            if at > now - _DAY:
                return
            del self._people[person]


class MoneyBudget:
    """What a laundromat may spend in a month of its own calendar, in BRL.

    Delivered messages are billed. Messages under way are counted as if billed, failed ones are not.
    """

    def __init__(self, limit: float | None) -> None:
        """Begin without anything spent."""
        self._limit = limit
        self._spent = 0.0

    def set_limit(self, limit: float | None) -> None:
        """Use another limit."""
        self._limit = limit

    def load(self, spent: float) -> None:
        """Remember what was spent so far this month."""
        self._spent = spent

    def suffices(self, price: float) -> bool:
        """Return whether one more message can be paid."""
        # Sums of floats are not exact; allow a thousandth of a centavo.
        return self._limit is None or self._spent + price <= self._limit + 1e-5

    def take(self, price: float) -> bool:
        """Count a message that is about to be sent; False: the money does not suffice."""
        if not self.suffices(price):
            return False
        self._spent += price
        return True

    def give_back(self, price: float) -> None:
        """Forget a message that failed: it is not billed."""
        self._spent = max(0.0, self._spent - price)

    @property
    def left(self) -> float | None:
        """Return what is left of the month; None: there is no limit."""
        return None if self._limit is None else max(0.0, self._limit - self._spent)
