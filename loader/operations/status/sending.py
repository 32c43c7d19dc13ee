"""The state of sending, from the rows of VMHUB_OPS.send_runs and send_pauses; pure.

A row counts everything since its sender started, so the events of a period are the difference
between two rows. The rows are described in models/sources/_ops__sources.yml.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["SEND_LOOK_BACK", "SendPause", "SendRow", "SendStatus", "send_status"]

SEND_LOOK_BACK = timedelta(hours=26)
"""Older rows are not read: a day, and some time for a late row."""
_DAY, _HOUR = timedelta(hours=24), timedelta(hours=1)
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
    """Return the state of sending; None: no sender wrote anything within SEND_LOOK_BACK."""
    lives = _lives(row for row in rows if row.recorded_at <= as_of)
    if not lives:
        return None
    at_work = [life[-1] for life in lives if _is_at_work(life[-1], lives)]
    day, hour = (_since(lives, as_of - length, as_of) for length in (_DAY, _HOUR))
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


def _lives(rows: Iterable[SendRow]) -> list[list[SendRow]]:
    """Return the rows of each sender, in order."""
    ordered = sorted(rows, key=lambda row: (row.run_id, row.recorded_at))
    return [list(group) for _, group in groupby(ordered, key=lambda row: row.run_id)]


def _is_at_work(last: SendRow, lives: Sequence[Sequence[SendRow]]) -> bool:
    """Return whether a sender still works: no other one has replaced it since its last row."""
    return not any(
        life[0].started_at >= last.recorded_at for life in lives if life[0].run_id != last.run_id
    )


def _since(lives: Iterable[Sequence[SendRow]], instant: datetime, as_of: datetime) -> Counter[str]:
    """Return what all senders did since an instant, as exactly as their rows show."""
    done: Counter[str] = Counter()
    for life in lives:
        done.update(_counts(life[-1]))
        earlier = [row for row in life if row.recorded_at <= instant]
        if earlier:
            done.subtract(_counts(earlier[-1]))
        elif life[0].started_at < as_of - SEND_LOOK_BACK:
            # Its earlier rows are not read; the events they count are older.
            done.subtract(_counts(life[0]))
    return done


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
