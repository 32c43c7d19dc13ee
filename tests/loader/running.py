"""Helpers for a run of sync against the fakes, and for its report."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from loader.base.retry import Retry
from loader.sync.model import Outcome
from loader.sync.run import SyncOptions, SyncReport, sync
from tests.loader.fakes import FakeClock, FakeSource
from tests.support import AS_OF, NUMERIC_CNPJ

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from loader.sync.model import Target
    from tests.loader.fakes import FakeStore

CAMPAIGNS = ("BIRTHDAY",)


def run_sync(
    rows: Sequence[Target] | FakeSource,
    store: FakeStore,
    *,
    built_at: datetime | None = AS_OF,
    options: SyncOptions | None = None,
    clock: FakeClock | None = None,
    retry: Retry | None = None,
    campaign_types: Sequence[str] = CAMPAIGNS,
    **further: Any,
) -> SyncReport:
    """Sync as of `AS_OF`, with a clock that moves only when somebody sleeps."""
    clock = clock or FakeClock()
    return sync(
        rows if isinstance(rows, FakeSource) else FakeSource(rows, built_at),
        store,
        cnpj=NUMERIC_CNPJ,
        as_of=AS_OF,
        campaign_types=campaign_types,
        max_attempts=3,
        options=options,
        retry=retry or Retry(clock=clock, sleep=clock.sleep, rng=Random(1)),
        **further,
    )


def counts(report: SyncReport) -> dict[Outcome, int]:
    """Return how often each outcome occurred."""
    counted: Counter[Outcome] = Counter()
    for campaign in report.campaigns:
        counted.update(campaign.outcomes)
    return {outcome: count for outcome, count in counted.items() if count}


def of_rows(report: SyncReport) -> int:
    """Return how many rows have an outcome."""
    return report.total(*Outcome) - report.total(Outcome.WITHDRAWN)
