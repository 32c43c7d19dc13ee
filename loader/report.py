"""What a sync did: its figures, and the rows somebody should look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from loader.cnpj import Cnpj
    from loader.targets import Outcome

__all__ = ["CampaignCounts", "Problem", "SyncReport"]


@dataclass(frozen=True)
class Problem:
    """A row somebody should look at; names the customer by id only."""

    campaign_type: str
    customer_id: str
    outcome: Outcome
    """For a document without a row, FAILED: it could not be withdrawn."""
    reason: str


@dataclass(frozen=True)
class CampaignCounts:
    """One campaign's figures: the outcomes but WITHDRAWN add up to ``rows_read``."""

    campaign_type: str
    rows_read: int
    outcomes: dict[Outcome, int]


@dataclass(frozen=True)
class SyncReport:
    """What a run did, or, dry, would do."""

    cnpj: Cnpj
    as_of: datetime
    built_at: datetime
    is_dry_run: bool
    campaigns: tuple[CampaignCounts, ...]
    problems: tuple[Problem, ...]

    def total(self, *outcomes: Outcome) -> int:
        """Return how often these outcomes occurred in all campaigns."""
        return sum(
            campaign.outcomes.get(outcome, 0) for campaign in self.campaigns for outcome in outcomes
        )
