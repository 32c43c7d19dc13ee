"""The state of sending, from the rows of VMHUB_OPS.send_runs and send_pauses; pure.

The rows are described in models/sources/_ops__sources.yml.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.operations.status.lives import DAY, HOUR, counts_within, is_replaced, lives

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

__all__ = ["SendPause", "SendRow", "SendStatus", "send_status"]

# Reasons that do not concern this sender: the document waits for another one, or for nobody.
_NOT_OURS = ("no_account", "disabled", "expired")


@dataclass(frozen=True)
class SendRow:
    """A row of VMHUB_OPS.send_runs."""

    run_id: str
    started_at: datetime
    recorded_at: datetime
    sent: int
    unknown: int
    failed: dict[str, int]
    """By class of seeds/whatsapp_error_classes.csv."""
    errors: int
    waiting: dict[str, int]
    oldest_waiting_at: datetime | None
    open_attempts: int
    people_left: dict[str, int | None]
    money_left: dict[str, float]


@dataclass(frozen=True)
class SendPause:
    """A row of VMHUB_OPS.send_pauses."""

    kind: str
    key: str
    """The id of what is paused; for a token the name of its secret."""
    reason: str
    begun_at: datetime
    until: datetime


@dataclass(frozen=True)
class SendStatus:
    """What the senders did in a day, and their latest state."""

    recorded_at: datetime
    """The newest row; a sender writes one every ten minutes."""
    senders: int
    """How many senders work now, as far as their rows show."""
    sent: int
    """Accepted by WhatsApp within 24 hours."""
    failed: dict[str, int]
    """Attempts that failed within 24 hours, by class."""
    unknown: int
    """Attempts within 24 hours whose outcome was unknown at first."""
    errors: int
    """Targets not sent within 24 hours because a service did not answer."""
    sent_last_hour: int
    failed_last_hour: dict[str, int]
    waiting: dict[str, int]
    """Targets at the last poll, by what they wait for; ``next``: about to be sent."""
    oldest_waiting_at: datetime | None
    """When the oldest waiting target that has not expired was created."""
    open_attempts: int
    """Attempts that are open for longer than a claim lasts."""
    people_left: dict[str, int | None]
    """By portfolio: how many more people may be written to; None: no limit."""
    money_left: dict[str, float]
    """By CNPJ: BRL left of the month's budget."""
    pauses: tuple[SendPause, ...]
    """The pauses that should still apply. A success may have ended one early without a row."""


def send_status(
    rows: Iterable[SendRow], pauses: Iterable[SendPause], as_of: datetime
) -> SendStatus | None:
    """Return the state of sending; None: no sender wrote anything within ROWS_LOOK_BACK."""
    senders = lives(rows, as_of)
    if not senders:
        return None
    at_work = [life[-1] for life in senders if not is_replaced(life[-1], senders)]
    day, hour = (counts_within(length, senders, _counts, as_of) for length in (DAY, HOUR))
    waiting: Counter[str] = Counter()
    for row in at_work:
        waiting.update({why: row.waiting[why] for why in row.waiting if why not in _NOT_OURS})
    oldest = [row.oldest_waiting_at for row in at_work if row.oldest_waiting_at is not None]
    return SendStatus(
        recorded_at=max(row.recorded_at for row in at_work),
        senders=len(at_work),
        sent=day["sent"],
        failed=_failed(day),
        unknown=day["unknown"],
        errors=day["errors"],
        sent_last_hour=hour["sent"],
        failed_last_hour=_failed(hour),
        waiting=dict(waiting),
        oldest_waiting_at=min(oldest, default=None),
        open_attempts=max(row.open_attempts for row in at_work),
        people_left={key: left for row in at_work for key, left in row.people_left.items()},
        money_left={key: left for row in at_work for key, left in row.money_left.items()},
        pauses=_holding(pauses, as_of),
    )


def _counts(row: SendRow) -> Counter[str]:
    counts = Counter({"sent": row.sent, "unknown": row.unknown, "errors": row.errors})
    counts.update({f"failed {name}": count for name, count in row.failed.items()})
    return counts


def _failed(counts: Counter[str]) -> dict[str, int]:
    return {
        name.removeprefix("failed "): count
        for name, count in sorted(counts.items())
        if name.startswith("failed ") and count > 0
    }


def _holding(pauses: Iterable[SendPause], as_of: datetime) -> tuple[SendPause, ...]:
    """Return the latest pause of each paused thing."""
    latest: dict[tuple[str, str], SendPause] = {}
    for pause in sorted(pauses, key=lambda pause: pause.begun_at):
        if pause.begun_at <= as_of < pause.until:
            latest[pause.kind, pause.key] = pause
    return tuple(latest[key] for key in sorted(latest))
