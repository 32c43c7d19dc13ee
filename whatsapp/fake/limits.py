"""Rates and limits of numbers, pairs and portfolios, by the fake's clock."""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from whatsapp.fake.errors import ApiError
from whatsapp.fake.phones import same_person

if TYPE_CHECKING:
    from whatsapp.fake.config import Number, Portfolio

__all__ = ["SendLimits"]

_SECOND = timedelta(seconds=1)
_PAIR = timedelta(seconds=6)
_DAY = timedelta(days=1)


class SendLimits:
    """Remembers who was written to, and when."""

    def __init__(self) -> None:
        """Begin without any message."""
        self._passed: defaultdict[str, deque[datetime]] = defaultdict(deque)
        self._pairs: dict[tuple[str, str], datetime] = {}
        self._people: defaultdict[str, dict[str, datetime]] = defaultdict(dict)
        self._windows: dict[tuple[str, str], datetime] = {}

    def check(self, number: Number, portfolio: Portfolio, to: str, now: datetime) -> None:
        """Refuse a message that would be too much.

        Raises:
            ApiError: 130429 for the number's rate (WA/throughput), 131056 for more than one message
                to a person in six seconds (WA/about-the-platform), 131048 for the portfolio's
                people in 24 hours. No public page names the code for that limit; this project
                expects 131048, "restrictions on how many messages can be sent".

        """
        passed = self._passed[number.id]
        while passed and passed[0] <= now - _SECOND:
            passed.popleft()
        if len(passed) >= number.messages_per_second:
            raise ApiError(130429, "Cloud API message throughput has been reached.")
        person = same_person(to)
        last = self._pairs.get((number.id, person))
        if last is not None and now - last < _PAIR:
            raise ApiError(131056, "Too many messages to the same phone number in a short time.")
        limit = portfolio.people_in_24_hours
        if limit is None or self.has_window(number.id, to, now):
            return
        if person not in self.people(portfolio.id, now) and (
            len(self.people(portfolio.id, now)) >= limit
        ):
            raise ApiError(131048, "The limit of people in 24 hours has been reached.")

    def count(self, number: Number, portfolio: Portfolio, to: str, now: datetime) -> None:
        """Count an accepted message."""
        person = same_person(to)
        self._passed[number.id].append(now)
        self._pairs[number.id, person] = now
        if not self.has_window(number.id, to, now):
            people = self._people[portfolio.id]
            people.pop(person, None)
            people[person] = now

    def count_inbound(self, number_id: str, sender: str, now: datetime) -> None:
        """Count an inbound message: it counts towards the rate, and opens the 24-hour window."""
        self._passed[number_id].append(now)
        self._windows[number_id, same_person(sender)] = now

    def has_window(self, number_id: str, to: str, now: datetime) -> bool:
        """Tell whether the person wrote within the last 24 hours."""
        opened = self._windows.get((number_id, same_person(to)))
        return opened is not None and now - opened < _DAY

    def people(self, portfolio_id: str, now: datetime) -> dict[str, datetime]:
        """Return the people of the last 24 hours, each with the instant of the last message."""
        people = self._people[portfolio_id]
        while people:
            # Ordered by instant: a person who is written to again moves to the end.
            oldest = next(iter(people))
            if people[oldest] > now - _DAY:
                break
            del people[oldest]
        return people
