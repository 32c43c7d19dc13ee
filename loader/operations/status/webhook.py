"""The state of the webhook, from the rows of VMHUB_OPS.webhook_runs; pure.

The rows are described in models/sources/_ops__sources.yml.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from loader.operations.status.lives import DAY, HOUR, counts_within, is_replaced, lives

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WEBHOOK_SILENCE", "WebhookRow", "WebhookStatus", "webhook_status"]

WEBHOOK_SILENCE = timedelta(minutes=30)
"""A process writes a row every ten minutes: two may be missed, or a new process be on its way."""
_OK, _REFUSED = "200", "401"


@dataclass(frozen=True)
class WebhookRow:
    """A row of VMHUB_OPS.webhook_runs."""

    run_id: str
    started_at: datetime
    recorded_at: datetime
    answers: dict[str, int]
    """POSTs by the status of the answer."""
    items: dict[str, int]
    """Items of these POSTs by kind."""


@dataclass(frozen=True)
class WebhookStatus:
    """What the webhook's processes received in a day."""

    recorded_at: datetime
    """The newest row."""
    processes: int
    """How many processes work now, as far as their rows show."""
    answers_last_hour: dict[str, int]
    """POSTs by the status of the answer; 401: no valid signature."""
    receipts: int
    """Receipts within 24 hours whose attempt was found at once."""
    opt_outs: int
    unmatched: int
    """Receipts within 24 hours that wait for their attempt, or that waited."""
    rejected: int
    """Items within 24 hours that could not be read or belong to nobody."""

    @property
    def posts(self) -> int:
        """POSTs of anybody in the last hour."""
        return sum(self.answers_last_hour.values())

    @property
    def refused(self) -> int:
        """POSTs in the last hour that had no valid signature."""
        return self.answers_last_hour.get(_REFUSED, 0)

    @property
    def failed(self) -> dict[str, int]:
        """POSTs in the last hour that WhatsApp repeats since they could not be taken, by status."""
        return {
            answer: count
            for answer, count in self.answers_last_hour.items()
            if answer.startswith("5")
        }

    @property
    def taken_or_failed(self) -> int:
        """POSTs in the last hour without those that were the caller's mistake."""
        return self.answers_last_hour.get(_OK, 0) + sum(self.failed.values())


def webhook_status(rows: Iterable[WebhookRow], as_of: datetime) -> WebhookStatus | None:
    """Return the state of the webhook; None: none wrote anything within ROWS_LOOK_BACK."""
    processes = lives(rows, as_of)
    if not processes:
        return None
    last_rows = [life[-1] for life in processes]
    # A process that a platform has ended, since there was little to do, is replaced by none.
    at_work = [
        last
        for last in last_rows
        if last.recorded_at >= as_of - WEBHOOK_SILENCE and not is_replaced(last, processes)
    ]
    day, hour = (counts_within(length, processes, _counts, as_of) for length in (DAY, HOUR))
    return WebhookStatus(
        recorded_at=max(last.recorded_at for last in last_rows),
        processes=len(at_work),
        answers_last_hour={
            name.removeprefix("answer "): count
            for name, count in sorted(hour.items())
            if name.startswith("answer ") and count > 0
        },
        receipts=day["item receipt"],
        opt_outs=day["item opt_out"],
        unmatched=day["item unmatched"],
        rejected=day["item rejected"],
    )


def _counts(row: WebhookRow) -> Counter[str]:
    counts = Counter({f"answer {answer}": count for answer, count in row.answers.items()})
    counts.update({f"item {kind}": count for kind, count in row.items.items()})
    return counts
