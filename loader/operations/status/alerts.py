"""What is wrong with the fleet, and the messages when that changes; pure.

docs/alerts.md has a section for each kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from loader.base.clock import minute_text
from loader.operations.status.facts import SILENCE
from loader.operations.status.kinds import Kind
from loader.operations.status.send_alerts import check_sending
from loader.operations.status.webhook_alerts import check_webhook

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from loader.operations.status.facts import Facts, LastRun, Limits, RawTable

__all__ = [
    "DIGEST_ABOVE",
    "AlertChange",
    "Conditions",
    "Kind",
    "Notice",
    "changes",
    "conditions",
    "kind_of",
    "notices",
]

DIGEST_ABOVE = 20
"""More changes of a kind than this go out as one message."""
_LISTED = 10
_REASON_LENGTH = 300
# One failing laundromat in a fleet of ten is not a rate.
_FEWEST_FAILED = 2
_GIB = 2**30


@dataclass(frozen=True)
class Conditions:
    """What is wrong, by the name of the alert, in words without personal data."""

    wrong: dict[str, str]
    undecided: frozenset[str] = frozenset()
    """Alerts, or whole kinds, whose state is unknown: they stay as they are."""

    def is_undecided(self, alert: str) -> bool:
        """Whether the state of an alert is unknown."""
        return alert in self.undecided or kind_of(alert) in self.undecided


@dataclass(frozen=True)
class AlertChange:
    """An alert that begins or ends."""

    alert: str
    is_open: bool
    text: str


@dataclass(frozen=True)
class Notice:
    """One message, with the changes that it reports."""

    title: str
    body: str
    changes: tuple[AlertChange, ...]

    @property
    def is_open(self) -> bool:
        """Whether its alerts begin; all changes of a notice are alike."""
        return self.changes[0].is_open


def kind_of(alert: str) -> Kind:
    """Return the kind of an alert: the first part of its name."""
    return Kind(alert.partition(":")[0])


def conditions(facts: Facts, limits: Limits) -> Conditions:
    """Return what is wrong."""
    wrong: dict[str, str] = {}
    undecided: set[str] = set()
    _check_runs(facts, limits, wrong, undecided)
    _check_laundromats(facts, limits, wrong, undecided)
    check_webhook(facts.webhook, facts.as_of, wrong, undecided)
    check_sending(facts, limits, wrong, undecided)
    _check_costs(facts, limits, wrong, undecided)
    for table in facts.stale(limits.raw_max_age):
        wrong[f"{Kind.STALE_RAW}:{table.cnpj}"] = _stale_text(table)
    for event in facts.account_events:
        if event.is_bad:
            wrong[f"{Kind.WHATSAPP}:{event.kind}:{event.key}"] = (
                f"WhatsApp says of {event.kind} {event.key} since "
                f"{minute_text(event.happened_at)}: {event.event} {event.reason}".rstrip()
            )
    undecided |= {
        f"{Kind.STALE_RAW}:{table.cnpj}" for table in facts.raw_tables if not table.is_known
    }
    return Conditions(wrong, frozenset(undecided))


def _check_runs(facts: Facts, limits: Limits, wrong: dict[str, str], undecided: set[str]) -> None:
    hours = SILENCE.total_seconds() / 3600
    if facts.is_silent:
        wrong[Kind.NO_RUN] = f"No `vmhub run` has ended in the last {hours:.0f} hours"
        # Silent shards can be known again only once others run.
        undecided |= {Kind.NO_RUN}
    for shard in facts.silent_shards:
        wrong[f"{Kind.NO_RUN}:{shard}"] = (
            f"No `vmhub run` of shard {shard} has ended in the last {hours:.0f} hours; others have"
        )
    if not facts.last_runs:
        undecided |= {Kind.ERROR_RATE, Kind.OVER_TIME, Kind.OVER_MEMORY}
        return
    served = facts.served
    not_started = sum(run.without_worker for run in facts.last_runs)
    if not_started:
        wrong[Kind.ERROR_RATE] = (
            f"{not_started} laundromats were not served in the last run, since no process for them "
            "could be started; the run's log says why"
        )
    elif not served.laundromats:
        # At night all laundromats are skipped: that does not mean that anything is fixed.
        undecided.add(Kind.ERROR_RATE)
    elif served.failed >= _FEWEST_FAILED and served.error_percent > limits.error_percent:
        wrong[Kind.ERROR_RATE] = (
            f"{served.failed} of {served.laundromats} laundromats failed in the last run "
            f"({served.error_percent:.0f} %)"
        )
    slow = [run for run in facts.last_runs if run.seconds > limits.run_minutes * 60]
    if slow:
        runs = ", ".join(f"shard {run.shard} took {run.seconds / 60:.0f} min" for run in slow)
        wrong[Kind.OVER_TIME] = f"The last run took too long: {runs}"
    heavy = [run for run in facts.last_runs if run.peak_memory_mib > limits.memory_mib]
    if heavy:
        runs = ", ".join(f"shard {run.shard} took {run.peak_memory_mib:.0f} MiB" for run in heavy)
        wrong[Kind.OVER_MEMORY] = f"A process of the last run took too much memory: {runs}"


def _check_laundromats(
    facts: Facts, limits: Limits, wrong: dict[str, str], undecided: set[str]
) -> None:
    for laundromat in facts.laundromats:
        alert = f"{Kind.FAILING}:{laundromat.cnpj}"
        if laundromat.failures >= limits.failures:
            wrong[alert] = _failing_text(laundromat)
        elif laundromat.failures and laundromat.succeeded_at is None:
            # Earlier failures may be too old to be read; only a success ends the alert.
            undecided.add(alert)
    undecided |= {f"{Kind.FAILING}:{cnpj}" for cnpj in facts.without_runs}


def _check_costs(facts: Facts, limits: Limits, wrong: dict[str, str], undecided: set[str]) -> None:
    if facts.month_bytes is None or limits.month_gib is None:
        # A check without this limit must not end what one with it began.
        undecided.add(Kind.OVER_COST)
        return
    for cnpj, bytes_billed in facts.month_bytes.items():
        if bytes_billed > limits.month_gib * _GIB:
            wrong[f"{Kind.OVER_COST}:{cnpj}"] = (
                f"The runs of {cnpj} have billed {bytes_billed / _GIB:.1f} GiB since "
                f"{facts.as_of:%Y-%m}-01, more than {limits.month_gib:g}"
            )


def _failing_text(laundromat: LastRun) -> str:
    times = "once" if laundromat.failures == 1 else f"{laundromat.failures} times in a row"
    where = f" in {laundromat.step}" if laundromat.step else ""
    error = laundromat.error or f"exit code {laundromat.exit_code}"
    # One short line: a build's reason can be a whole page.
    reason = " ".join(laundromat.reason.split())
    if len(reason) > _REASON_LENGTH:
        reason = f"{reason[:_REASON_LENGTH]}…"
    return (
        f"{laundromat.cnpj} failed {times} since {minute_text(laundromat.failing_since)}, "
        f"last{where} with {error}{': ' if reason else ''}{reason}"
    )


def _stale_text(table: RawTable) -> str:
    if table.modified_at is None:
        return f"{table.cnpj}_RAW.vendas is {table.problem}"
    return f"{table.cnpj}_RAW.vendas was last written at {minute_text(table.modified_at)}"


def changes(now: Conditions, open_alerts: Mapping[str, datetime]) -> list[AlertChange]:
    """Return the changes: what is wrong but not open, and what is open but no longer wrong.

    Args:
        now: What is wrong.
        open_alerts: Alerts whose beginning was sent but not their end, with their begin.

    """
    begun = [AlertChange(alert, is_open=True, text=text) for alert, text in now.wrong.items()]
    over = [
        AlertChange(alert, is_open=False, text=f"{alert} is over; it began {minute_text(since)}")
        for alert, since in open_alerts.items()
        if alert not in now.wrong and not now.is_undecided(alert)
    ]
    return [*(change for change in begun if change.alert not in open_alerts), *over]


def notices(changed: list[AlertChange], project: str) -> list[Notice]:
    """Return the messages for changes: beginnings first, then by urgency.

    Args:
        changed: The changes.
        project: The Google Cloud project, which every message names.

    """
    return [
        notice
        for (kind, is_open), group in _by_kind(changed)
        for notice in _notices_of(kind, group, project, is_open=is_open)
    ]


def _by_kind(
    changed: list[AlertChange],
) -> Iterator[tuple[tuple[Kind, bool], tuple[AlertChange, ...]]]:
    order = list(Kind)

    def key(change: AlertChange) -> tuple[bool, int]:
        return not change.is_open, order.index(kind_of(change.alert))

    for (is_over, number), group in groupby(sorted(changed, key=key), key):
        yield (order[number], not is_over), tuple(group)


def _notices_of(
    kind: Kind, group: tuple[AlertChange, ...], project: str, *, is_open: bool
) -> Iterator[Notice]:
    over = "" if is_open else "over: "
    advice = f"\nWhat to do: docs/alerts.md, section {kind}" if is_open else ""
    if len(group) <= DIGEST_ABOVE:
        for change in group:
            title = f"vmhub {project}: {over}{change.alert}"
            yield Notice(title, change.text + advice, (change,))
        return
    lines = [change.text for change in group[:_LISTED]]
    lines.append(f"and {len(group) - _LISTED} more; `vmhub status` lists all that is wrong")
    title = f"vmhub {project}: {over}{len(group)} alerts: {kind}"
    yield Notice(title, "\n".join(lines) + advice, group)
