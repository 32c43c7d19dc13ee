"""A laundromat's send window, which decides the steps of an hour.

The rule itself is macros/campaigns/send_window.sql; tests/e2e/test_run.py checks that both give the
same answers. This copy only saves hours in which the SQL would find no target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["SendWindow"]

_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


@dataclass(frozen=True)
class SendWindow:
    """The send hours and days of one laundromat."""

    settings: Mapping[str, Any]
    """dbt vars; from `loader.dbt.settings`."""

    def is_open(self, at: datetime) -> bool:
        """Return whether any campaign may send at an instant."""
        local = self._local(at)
        hours = [self._from_hour(campaign) for campaign in self._campaigns()]
        return bool(hours) and self._is_open(local, min(hours))

    def figures_are_due(self, at: datetime, last: datetime | None) -> bool:
        """Return whether the daily figures are due; they were last built as of ``last``.

        They are built once a day, in the first open hour. A campaign that begins later and has a
        control group needs another build in its own first hour, since the first build saw none of
        its customers (docs/figures.md).
        """
        local = self._local(at)
        begun = [
            local.replace(hour=hour, minute=0, second=0, microsecond=0)
            for hour in self._first_hours()
            if self._is_open(local, hour)
        ]
        # An instant that has not come yet was not written by a run.
        return bool(begun) and (last is None or last < max(begun) or last > at)

    def _first_hours(self) -> set[int]:
        campaigns = self._campaigns()
        first = {min(map(self._from_hour, campaigns))} if campaigns else set()
        return first | {
            self._from_hour(campaign)
            for campaign in campaigns
            if self.settings[f"{campaign}_holdout_percent"] > 0
        }

    def _campaigns(self) -> list[str]:
        enabled = self.settings["enabled_campaigns"]
        return [name for name in self.settings["campaigns"] if name.upper() in enabled]

    def _from_hour(self, campaign: str) -> int:
        own_hour = self.settings[f"{campaign}_send_from_hour"]
        return int(max(self.settings["send_from_hour"], own_hour or 0))

    def _is_open(self, local: datetime, from_hour: int) -> bool:
        return (
            _DAYS[local.weekday()] in self.settings["send_weekdays"]
            and from_hour <= local.hour < self.settings["send_until_hour"]
        )

    def _local(self, at: datetime) -> datetime:
        return at.astimezone(ZoneInfo(self.settings["timezone"]))
