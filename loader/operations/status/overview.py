"""`vmhub status`: collects the facts, finds what is wrong, and sends alerts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from loader.base.errors import ExitCode, VmhubError
from loader.bigquery.ops import OpsLog
from loader.operations.status.alerts import changes, conditions, notices
from loader.operations.status.queries import read_facts, read_open_alerts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from loader.bigquery.declaration import SourceTable
    from loader.bigquery.warehouse import Warehouse
    from loader.firestore.registry import Registry
    from loader.operations.status.alerts import Notice
    from loader.operations.status.facts import Facts, FleetRun, LastRun, Limits, RawTable
    from loader.operations.status.receivers import Receivers
    from loader.operations.status.sending import SendStatus
    from loader.operations.status.webhook import WebhookStatus

__all__ = ["AlertDelivery", "StatusReport", "report_of", "status", "tell"]

_SHOWN_EXTREMES = 5


@dataclass(frozen=True)
class AlertDelivery:
    """What happened to the alert messages."""

    told: tuple[str, ...] = ()
    """Alerts whose change at least one receiver took; these are recorded."""
    not_told: tuple[str, ...] = ()
    """Alerts whose change no receiver took; the next check tries again."""
    receivers_down: tuple[str, ...] = ()
    """Receivers that failed to take a message."""


@dataclass(frozen=True)
class StatusReport:
    """How the fleet is doing."""

    as_of: datetime
    runs: tuple[FleetRun, ...]
    """The last run of each shard."""
    silent_shards: tuple[str, ...]
    laundromats_served: int
    """In these runs."""
    laundromats_failed: int
    error_percent: float
    with_problems: tuple[str, ...]
    """The laundromats whose last run left rows to look at."""
    failing: tuple[LastRun, ...]
    without_runs: tuple[str, ...]
    """The active laundromats that no run served within a week."""
    stale_raw: tuple[RawTable, ...]
    unknown_raw: tuple[str, ...]
    """The laundromats whose RAW data has an unknown age, since BigQuery did not answer."""
    unreadable_opt_outs: dict[str, int]
    """By laundromat: the number of opt-outs that name nobody until somebody completes them."""
    slowest: tuple[LastRun, ...]
    heaviest: tuple[LastRun, ...]
    alerts: dict[str, str]
    """What is beyond the limits."""
    sending: SendStatus | None = None
    """None: no sender has written anything within a day."""
    webhook: WebhookStatus | None = None
    """None: no webhook has written anything within a day."""
    delivery: AlertDelivery | None = None
    """None: alerts were not asked for."""

    @property
    def exit_code(self) -> ExitCode:
        """The command's exit code: partly failed when somebody should look at something."""
        is_fine = not (self.alerts or self.failing or self.unknown_raw) and not (
            self.delivery and self.delivery.receivers_down
        )
        return ExitCode.OK if is_fine else ExitCode.PARTLY_FAILED


def status(
    warehouse: Warehouse,
    registry: Registry,
    ops_tables: Mapping[str, SourceTable],
    *,
    project: str,
    as_of: datetime,
    limits: Limits,
    receivers: Receivers | None = None,
) -> StatusReport:
    """Look at the fleet, and send what has changed.

    Args:
        warehouse: Where VMHUB_OPS and the RAW datasets are.
        registry: Says which laundromats are served.
        ops_tables: The tables of VMHUB_OPS, by name.
        project: The Google Cloud project, named in every message.
        as_of: The instant.
        limits: Limits beyond which something is wrong.
        receivers: Where alerts are sent; None: nowhere.

    """
    if receivers is None:
        facts = _facts(warehouse, registry, as_of=as_of, limits=limits)
        return report_of(facts, limits, conditions(facts, limits).wrong)
    log = OpsLog(warehouse, ops_tables)

    def record(notice: Notice) -> None:
        warehouse.insert(ops_tables["alerts"], _alert_rows(notice, as_of))

    # The queries of every check together bill more than a laundromat's runs.
    with log.run(None, "status", as_of) as run, run.step("STATUS") as step:
        before, traffic = (warehouse.queries, warehouse.bytes_billed), registry.traffic
        try:
            facts = _facts(warehouse, registry, as_of=as_of, limits=limits)
            open_alerts = read_open_alerts(warehouse, as_of=as_of)
        finally:
            step.queries = warehouse.queries - before[0]
            step.bytes_billed = warehouse.bytes_billed - before[1]
            step.documents_read = registry.traffic.since(traffic).reads
    found = conditions(facts, limits)
    report = report_of(facts, limits, found.wrong)
    delivery = tell(notices(changes(found, open_alerts), project), receivers, record)
    return replace(report, delivery=delivery)


def _facts(warehouse: Warehouse, registry: Registry, *, as_of: datetime, limits: Limits) -> Facts:
    entries, broken, _ = registry.fleet()
    return read_facts(
        warehouse,
        [entry.cnpj for entry in entries],
        broken,
        as_of=as_of,
        with_costs=limits.month_gib is not None,
    )


def report_of(facts: Facts, limits: Limits, wrong: dict[str, str]) -> StatusReport:
    """Return the report to show."""
    return StatusReport(
        as_of=facts.as_of,
        runs=facts.last_runs,
        silent_shards=tuple(str(shard) for shard in facts.silent_shards),
        laundromats_served=facts.served.laundromats,
        laundromats_failed=facts.served.failed,
        error_percent=round(facts.served.error_percent, 1),
        with_problems=tuple(
            sorted(
                laundromat.cnpj
                for laundromat in facts.laundromats
                if laundromat.exit_code == ExitCode.PARTLY_FAILED
            )
        ),
        failing=facts.failing,
        without_runs=facts.without_runs,
        stale_raw=facts.stale(limits.raw_max_age),
        unknown_raw=tuple(table.cnpj for table in facts.raw_tables if not table.is_known),
        unreadable_opt_outs={
            laundromat.cnpj: laundromat.unreadable_opt_outs
            for laundromat in sorted(facts.laundromats, key=lambda item: item.cnpj)
            if laundromat.unreadable_opt_outs
        },
        slowest=_highest(facts, lambda laundromat: laundromat.seconds),
        heaviest=_highest(facts, lambda laundromat: laundromat.peak_memory_mib),
        alerts=wrong,
        sending=facts.sending,
        webhook=facts.webhook,
    )


def _alert_rows(notice: Notice, as_of: datetime) -> list[dict[str, Any]]:
    """Return the rows of VMHUB_OPS.alerts for a message."""
    is_digest = len(notice.changes) > 1
    return [
        {
            "alert": change.alert,
            "is_open": change.is_open,
            "changed_at": as_of.isoformat(),
            "message": notice.title if is_digest else notice.body,
        }
        for change in notice.changes
    ]


def _highest(facts: Facts, figure: Callable[[LastRun], float]) -> tuple[LastRun, ...]:
    ranked = sorted(facts.laundromats, key=lambda item: (-figure(item), item.cnpj))
    return tuple(ranked[:_SHOWN_EXTREMES])


def tell(
    messages: Sequence[Notice], receivers: Receivers, record: Callable[[Notice], None]
) -> AlertDelivery:
    """Send messages; record each as soon as a receiver has taken it.

    In this order, so that a lost message is sent again; the price is a message that is sent twice
    when the recording fails. One receiver is enough: if all had to take it, the working ones would
    get the same message with every check until the last one is fixed.

    Args:
        messages: What to send.
        receivers: Where to send it.
        record: Stores what was sent.

    Raises:
        VmhubError: A message could not be recorded; all messages were sent nevertheless.

    """
    failure: VmhubError | None = None
    told: list[str] = []
    not_told: list[str] = []
    down: dict[str, None] = {}
    for notice in messages:
        refused = receivers.send(notice)
        is_taken = len(refused) < len(receivers)
        if is_taken:
            try:
                record(notice)
            except VmhubError as error:
                # Keep going, so that the later messages are sent, too.
                failure = failure or error
        (told if is_taken else not_told).extend(change.alert for change in notice.changes)
        down.update(dict.fromkeys(refused))
    if failure is not None:
        raise failure
    return AlertDelivery(tuple(told), tuple(not_told), tuple(down))
