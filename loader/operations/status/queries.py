"""Reads what `vmhub status` shows: rows of VMHUB_OPS, and the age of each RAW table.

The SQL is in statements.py.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loader.base.errors import NotFoundError, ServiceError, VmhubError
from loader.base.shards import Shard
from loader.operations.status.cost_queries import read_month_bytes
from loader.operations.status.facts import (
    ACCOUNTS_LOOK_BACK,
    SUCCESS_CODES,
    AccountEvent,
    Facts,
    FleetRun,
    LastRun,
    RawTable,
    ServedCount,
)
from loader.operations.status.lives import ROWS_LOOK_BACK
from loader.operations.status.sending import SendPause, SendRow, send_status
from loader.operations.status.statements import (
    ACCOUNT_EVENTS,
    FLEET_RUNS,
    LAUNDROMATS,
    OPEN_ALERTS,
    SEND_PAUSES,
    SEND_RUNS,
    SERVED,
    WEBHOOK_RUNS,
    statement,
)
from loader.operations.status.webhook import WebhookRow, webhook_status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse
    from loader.operations.status.sending import SendStatus
    from loader.operations.status.webhook import WebhookStatus

__all__ = ["read_facts", "read_open_alerts"]

# BigQuery allows a hundred look-ups per second and user, and a client keeps ten connections
# (https://cloud.google.com/bigquery/quotas#api_request_quotas).
_LOOK_UPS_AT_A_TIME = 8
_SHARD = re.compile(r"(\d+)/(\d+)")


def read_facts(
    warehouse: Warehouse,
    cnpjs: Sequence[Cnpj],
    broken: Collection[str],
    *,
    as_of: datetime,
    with_costs: bool = False,
) -> Facts:
    """Return what is known about the fleet.

    Args:
        warehouse: Where VMHUB_OPS and the RAW datasets are.
        cnpjs: The active laundromats.
        broken: Laundromats with an invalid registry entry.
        as_of: The instant; later runs are ignored.
        with_costs: Whether to read what each laundromat has billed this month.

    """
    active = {*cnpjs, *broken}
    rows = _rows(warehouse, statement(FLEET_RUNS, until=as_of))
    runs = tuple(run for run in map(_fleet_run, rows) if run is not None)
    rows = _rows(warehouse, statement(LAUNDROMATS, until=as_of))
    laundromats = tuple(_laundromat(row) for row in rows if row["cnpj"] in active)
    since = as_of - ACCOUNTS_LOOK_BACK
    rows = _rows(warehouse, statement(ACCOUNT_EVENTS, since=since, until=as_of))
    facts = Facts(
        as_of,
        runs,
        laundromats,
        tuple(sorted(active - {laundromat.cnpj for laundromat in laundromats})),
        (
            *_raw_tables(warehouse, cnpjs),
            *(RawTable(name, None, "not known", is_known=False) for name in broken),
        ),
        tuple(map(_account_event, rows)),
    )
    return replace(
        _with_served(warehouse, facts),
        sending=_sending(warehouse, as_of),
        webhook=_webhook(warehouse, as_of),
        month_bytes=read_month_bytes(warehouse, as_of=as_of) if with_costs else None,
    )


def read_open_alerts(warehouse: Warehouse, *, as_of: datetime) -> dict[str, datetime]:
    """Return the alerts that were sent and are not over, with their beginning."""
    rows = _rows(warehouse, statement(OPEN_ALERTS, until=as_of))
    return {row["alert"]: row["changed_at"] for row in rows}


def _rows(
    warehouse: Warehouse, sql: str, parameters: Mapping[str, Sequence[str]] | None = None
) -> list[dict[str, Any]]:
    try:
        return warehouse.query(sql, doing="reading VMHUB_OPS", parameters=parameters)
    except NotFoundError:
        # The first row creates its table.
        return []


def _account_event(row: dict[str, Any]) -> AccountEvent:
    key = ":".join(part for part in (row["waba_id"], row["what"]) if part)
    return AccountEvent(row["kind"], key, row["event"], row["reason"], row["happened_at"])


def _fleet_run(row: dict[str, Any]) -> FleetRun | None:
    shard = _SHARD.fullmatch(row["shard"] or "")
    if shard is None:
        # A run of single laundromats, by hand, says nothing about the fleet.
        return None
    return FleetRun(
        row["fleet_run_id"],
        Shard(int(shard[1]), int(shard[2])),
        row["started_at"],
        row["ended_at"],
        row["laundromats"] or 0,
        json.loads(row["counts"] or "null") or {},
        row["exit_code"],
        row["seconds"] or 0.0,
        row["peak_memory_mib"] or 0.0,
    )


def _laundromat(row: dict[str, Any]) -> LastRun:
    return LastRun(
        cnpj=row["cnpj"],
        started_at=row["started_at"],
        exit_code=1 if row["exit_code"] is None else row["exit_code"],
        seconds=row["seconds"] or 0.0,
        peak_memory_mib=row["peak_memory_mib"] or 0.0,
        failures=row["failures"],
        failing_since=row["failing_since"],
        succeeded_at=row["succeeded_at"],
        step=_failed_step(json.loads(row["steps"] or "null") or []),
        error=row["error"] or "",
        reason=row["reason"] or "",
        unreadable_opt_outs=int((row["unreadable_opt_outs"] or "0").rsplit(" ", 1)[-1]),
    )


def _failed_step(steps: list[dict[str, Any]]) -> str:
    return next(
        (str(step["step"]) for step in steps if step.get("exit_code") not in SUCCESS_CODES), ""
    )


def _sending(warehouse: Warehouse, as_of: datetime) -> SendStatus | None:
    since = as_of - ROWS_LOOK_BACK
    rows = _rows(warehouse, statement(SEND_RUNS, since=since, until=as_of))
    if not rows:
        return None
    pauses = _rows(warehouse, statement(SEND_PAUSES, since=since, until=as_of))
    return send_status(map(_send_row, rows), (SendPause(**pause) for pause in pauses), as_of)


def _send_row(row: dict[str, Any]) -> SendRow:
    return SendRow(
        run_id=row["run_id"],
        started_at=row["started_at"],
        recorded_at=row["recorded_at"],
        sent=row["sent"] or 0,
        unknown=row["unknown"] or 0,
        failed=_counters(row["failed"]),
        errors=row["errors"] or 0,
        waiting=_counters(row["waiting"]),
        oldest_waiting_at=row["oldest_waiting_at"],
        open_attempts=row["open_attempts"] or 0,
        people_left=_counters(row["people_left"]),
        money_left=_counters(row["money_left"]),
    )


def _webhook(warehouse: Warehouse, as_of: datetime) -> WebhookStatus | None:
    since = as_of - ROWS_LOOK_BACK
    rows = _rows(warehouse, statement(WEBHOOK_RUNS, since=since, until=as_of))
    return webhook_status(map(_webhook_row, rows), as_of)


def _webhook_row(row: dict[str, Any]) -> WebhookRow:
    return WebhookRow(
        run_id=row["run_id"],
        started_at=row["started_at"],
        recorded_at=row["recorded_at"],
        answers=_counters(row["answers"]),
        items=_counters(row["items"]),
    )


def _counters(text: str | None) -> dict[str, Any]:
    return json.loads(text or "null") or {}


def _with_served(warehouse: Warehouse, facts: Facts) -> Facts:
    """Add the results of the laundromats in the last run of each shard.

    They come from the laundromats' own rows: skipped ones, as at night, have none.
    """
    last_runs = facts.last_runs
    if not last_runs:
        return facts
    since = min(run.started_at for run in last_runs)
    rows = _rows(
        warehouse,
        statement(SERVED, since=since, until=facts.as_of),
        {"fleet_run_ids": [run.fleet_run_id for run in last_runs]},
    )
    served = ServedCount(rows[0]["laundromats"], rows[0]["failed"]) if rows else ServedCount()
    return replace(facts, served=served)


def _raw_tables(warehouse: Warehouse, cnpjs: Sequence[Cnpj]) -> tuple[RawTable, ...]:
    with ThreadPoolExecutor(_LOOK_UPS_AT_A_TIME) as pool:
        return tuple(pool.map(lambda cnpj: _raw_table(warehouse, cnpj), cnpjs))


def _raw_table(warehouse: Warehouse, cnpj: Cnpj) -> RawTable:
    try:
        modified_at = warehouse.modified_at(f"{cnpj}_RAW", "vendas")
    except ServiceError:
        return RawTable(cnpj, None, "not known", is_known=False)
    except VmhubError:
        # A missing permission counts like a missing table, and does not hide other problems.
        return RawTable(cnpj, None, "not readable")
    return RawTable(cnpj, modified_at, "" if modified_at else "missing")
