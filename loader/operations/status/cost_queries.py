"""Reads what a month cost: records of VMHUB_OPS, and each laundromat's campaign_performance.

The figures of a laundromat are read by the Storage Read API, which bills the bytes read: a query
would bill 10 MiB for each laundromat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loader.base.cnpj import looks_like_cnpj, parse_cnpj
from loader.base.errors import NotFoundError, VmhubError
from loader.bigquery.literals import timestamp
from loader.operations.status.costs import (
    COLUMNS_OF_MESSAGES,
    Month,
    Usage,
    cost_report,
    messages_of,
)
from loader.operations.status.lives import ROWS_LOOK_BACK

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from loader.bigquery.warehouse import Warehouse
    from loader.operations.status.costs import CostReport, MessageCounts

__all__ = [
    "FLEET_COSTS",
    "PROCESS_COSTS",
    "RUN_COSTS",
    "SYNC_COSTS",
    "cost_statement",
    "read_costs",
    "read_month_bytes",
]

# Syncs have their own records: also those of `vmhub sync` by hand.
RUN_COSTS = """
    select
        runs.cnpj,
        if(runs.cnpj is null, runs.command, null) as command,
        sum(safe_cast(json_value(step, '$.queries') as int64)) as queries,
        sum(safe_cast(json_value(step, '$.bytes_billed') as int64)) as bytes_billed,
        sum(safe_cast(json_value(step, '$.documents_read') as int64)) as documents_read,
        sum(safe_cast(json_value(step, '$.writes_sent') as int64)) as writes_sent
    from `VMHUB_OPS`.`runs` as runs
    cross join unnest(json_query_array(runs.steps)) as step
    where
        runs.started_at >= {since}
        and runs.started_at <= {until}
        and json_value(step, '$.step') != 'SYNC'
    group by 1, 2
"""
SYNC_COSTS = """
    select
        cnpj,
        sum(documents_read) as documents_read,
        sum(writes_sent) as writes_sent
    from `VMHUB_OPS`.`sync_runs`
    where started_at >= {since} and started_at <= {until}
    group by cnpj
"""
FLEET_COSTS = """
    select
        sum(documents_read) as documents_read,
        sum(writes_sent) as writes_sent
    from `VMHUB_OPS`.`fleet_runs`
    where started_at >= {since} and started_at <= {until}
"""
# Rows count from the start of their process. So the part of a month is the difference between the
# last row in it and the last row before it.
PROCESS_COSTS = """
    with

    processes as (
        select
            run_id,
            max(documents_read) as documents_read,
            max(writes_sent) as writes_sent,
            max(if(recorded_at < {month}, documents_read, null)) as read_before,
            max(if(recorded_at < {month}, writes_sent, null)) as sent_before,
            -- It is older than the rows that are read: what its first row counts may be, too.
            if(min(started_at) < {since}, min(documents_read), 0) as read_at_first,
            if(min(started_at) < {since}, min(writes_sent), 0) as sent_at_first
        from `VMHUB_OPS`.`{table}`
        where recorded_at >= {since} and recorded_at <= {until}
        group by run_id
    )

    select
        sum(documents_read - coalesce(read_before, read_at_first)) as documents_read,
        sum(writes_sent - coalesce(sent_before, sent_at_first)) as writes_sent
    from processes
"""


def cost_statement(template: str, month: Month, until: datetime, table: str = "") -> str:
    """Return one of the queries for a month up to an instant.

    Args:
        template: The query.
        month: The month.
        until: The last instant that counts.
        table: The table of PROCESS_COSTS.

    """
    begins_at = month.begins_at
    return template.format(
        table=table,
        since=timestamp(begins_at - ROWS_LOOK_BACK if table else begins_at),
        month=timestamp(begins_at),
        until=timestamp(until),
    )


def read_costs(
    warehouse: Warehouse, cnpjs: Iterable[str], month: Month, *, as_of: datetime
) -> CostReport:
    """Return what a month cost.

    Args:
        warehouse: Where VMHUB_OPS and the figures are.
        cnpjs: The active laundromats; others are shown if they have records.
        month: The month.
        as_of: Later records are not counted.

    """
    until = min(as_of, month.last_instant)
    usage, shared = _run_usage(warehouse, month, until)
    for row in _rows(warehouse, cost_statement(SYNC_COSTS, month, until)):
        usage[row["cnpj"]] = usage.get(row["cnpj"], Usage()) + _usage(row)
    for name, sql in (
        ("run", cost_statement(FLEET_COSTS, month, until)),
        ("sender", cost_statement(PROCESS_COSTS, month, until, "send_runs")),
        ("webhook", cost_statement(PROCESS_COSTS, month, until, "webhook_runs")),
    ):
        for row in _rows(warehouse, sql):
            shared[name] = shared.get(name, Usage()) + _usage(row)
    messages: dict[str, MessageCounts | None] = {}
    not_readable = []
    for cnpj in sorted({*cnpjs, *usage}):
        try:
            messages[cnpj] = _messages(warehouse, cnpj, month)
        except VmhubError as error:
            if error.is_transient:
                raise
            # One without permission, or with figures of an older version, hides no other's.
            messages[cnpj] = None
            not_readable.append(cnpj)
    return cost_report(
        month,
        until=until,
        usage=usage,
        messages=messages,
        shared=shared,
        not_readable=not_readable,
    )


def read_month_bytes(warehouse: Warehouse, *, as_of: datetime) -> dict[str, int]:
    """Return the bytes that each laundromat's runs have billed in the month of an instant."""
    usage, _ = _run_usage(warehouse, Month.of(as_of), as_of)
    return {cnpj: of.bytes_billed for cnpj, of in usage.items()}


def _run_usage(
    warehouse: Warehouse, month: Month, until: datetime
) -> tuple[dict[str, Usage], dict[str, Usage]]:
    """Return what runs used by CNPJ, and what commands used that serve no single laundromat."""
    usage: dict[str, Usage] = {}
    shared: dict[str, Usage] = {}
    for row in _rows(warehouse, cost_statement(RUN_COSTS, month, until)):
        if row["cnpj"] is None:
            shared[row["command"]] = _usage(row)
        else:
            usage[row["cnpj"]] = _usage(row)
    return usage, shared


def _messages(warehouse: Warehouse, cnpj: str, month: Month) -> MessageCounts | None:
    if not looks_like_cnpj(cnpj):
        return None
    own = warehouse.acting_for(parse_cnpj(cnpj))
    try:
        rows = own.rows(f"{cnpj}_CAMPAIGN", "campaign_performance", *COLUMNS_OF_MESSAGES)
    except NotFoundError:
        return None
    return messages_of(rows, month)


def _usage(row: dict[str, Any]) -> Usage:
    return Usage(**{name: number or 0 for name, number in row.items() if name in _NAMES})


_NAMES = frozenset(Usage.__dataclass_fields__)


def _rows(warehouse: Warehouse, sql: str) -> list[dict[str, Any]]:
    try:
        return warehouse.query(sql, doing="reading VMHUB_OPS")
    except NotFoundError:
        # The first row creates its table.
        return []
