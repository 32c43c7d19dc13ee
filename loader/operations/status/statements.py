"""The SQL of `vmhub status`: eight small queries of VMHUB_OPS.

Each bills 10 MiB, the minimum per table. They count in SQL, to avoid reading many rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loader.bigquery.literals import timestamp
from loader.operations.status.facts import LOOK_BACK, SUCCESS_CODES

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "ACCOUNT_EVENTS",
    "FLEET_RUNS",
    "LAUNDROMATS",
    "OPEN_ALERTS",
    "SEND_PAUSES",
    "SEND_RUNS",
    "SERVED",
    "WEBHOOK_RUNS",
    "statement",
]

FLEET_RUNS = """
    select
        fleet_run_id,
        shard,
        started_at,
        ended_at,
        laundromats,
        to_json_string(counts) as counts,
        exit_code,
        seconds,
        peak_memory_mib
    from `VMHUB_OPS`.`fleet_runs`
    where started_at >= {since} and started_at <= {until}
"""
# The last run of each laundromat, and the failures since its last success.
LAUNDROMATS = """
    with

    attempts as (
        select
            *,
            -- A run without an exit code did not end normally.
            coalesce(exit_code, 1) in ({success_codes}) as is_success
        from `VMHUB_OPS`.`runs`
        where
            started_at >= {since}
            and started_at <= {until}
            and command = 'run'
            -- A run that was asked to stop has neither failed nor succeeded.
            and coalesce(exit_code, 1) not in (130, 143)
    ),

    successes as (
        select
            *,
            max(if(is_success, started_at, null)) over (partition by cnpj) as succeeded_at
        from attempts
    ),

    marked as (
        select
            *,
            not is_success and (succeeded_at is null or started_at > succeeded_at) as is_failure
        from successes
    ),

    numbered as (
        select
            *,
            -- bqemulator 1.4.0 does not support COUNTIF over a window.
            sum(if(is_failure, 1, 0)) over (partition by cnpj) as failures,
            min(if(is_failure, started_at, null)) over (partition by cnpj) as failing_since,
            -- What the newest build found: a run at night builds nothing.
            max(
                concat(
                    format_timestamp('%F %H:%M:%E6S', started_at),
                    ' ',
                    regexp_extract(
                        to_json_string(steps), r'"unreadable_opt_outs": ?([0-9]+)'
                    )
                )
            ) over (partition by cnpj) as unreadable_opt_outs,
            row_number() over (
                partition by cnpj order by started_at desc, is_success desc, run_id desc
            ) as number_from_last
        from marked
    )

    select
        cnpj,
        started_at,
        exit_code,
        seconds,
        peak_memory_mib,
        failures,
        failing_since,
        succeeded_at,
        to_json_string(steps) as steps,
        error,
        reason,
        unreadable_opt_outs
    from numbered
    where number_from_last = 1
"""
SERVED = """
    select
        count(*) as laundromats,
        countif(coalesce(exit_code, 1) not in ({success_codes})) as failed
    from `VMHUB_OPS`.`runs`
    where
        started_at >= {since}
        and started_at <= {until}
        and fleet_run_id in unnest(@fleet_run_ids)
        and coalesce(exit_code, 1) not in (130, 143)
"""
# No lower bound: an alert stays open however long ago it began. There is a row only for each
# beginning and end, so the table stays small.
OPEN_ALERTS = """
    with

    numbered as (
        select
            alert,
            is_open,
            changed_at,
            row_number() over (
                partition by alert order by changed_at desc, is_open desc
            ) as number_from_last
        from `VMHUB_OPS`.`alerts`
        where changed_at <= {until}
    )

    select
        alert,
        changed_at
    from numbered
    where number_from_last = 1 and is_open
"""
# The last event of each template, number and account that `vmhub webhook` received.
ACCOUNT_EVENTS = """
    with

    numbered as (
        select
            kind,
            waba_id,
            coalesce(template, business_number, '') as what,
            event,
            coalesce(reason, '') as reason,
            happened_at,
            row_number() over (
                partition by kind, waba_id, template, business_number
                order by happened_at desc, recorded_at desc, event
            ) as number_from_last
        from `VMHUB_OPS`.`webhook_events`
        where
            recorded_at >= {since}
            and recorded_at <= {until}
            and kind in ('template', 'number', 'account')
    )

    select
        kind,
        waba_id,
        what,
        event,
        reason,
        happened_at
    from numbered
    where number_from_last = 1
"""

# A row per sender every ten minutes; an hour's events are the difference between two rows.
SEND_RUNS = """
    select
        run_id,
        started_at,
        recorded_at,
        sent,
        unknown,
        to_json_string(failed) as failed,
        errors,
        to_json_string(waiting) as waiting,
        oldest_waiting_at,
        open_attempts,
        to_json_string(people_left) as people_left,
        to_json_string(money_left) as money_left
    from `VMHUB_OPS`.`send_runs`
    where recorded_at >= {since} and recorded_at <= {until}
"""
SEND_PAUSES = """
    select
        kind,
        key,
        reason,
        begun_at,
        until
    from `VMHUB_OPS`.`send_pauses`
    where begun_at >= {since} and begun_at <= {until} and until > {until}
"""
# As SEND_RUNS: a row per webhook process every ten minutes.
WEBHOOK_RUNS = """
    select
        run_id,
        started_at,
        recorded_at,
        to_json_string(answers) as answers,
        to_json_string(items) as items
    from `VMHUB_OPS`.`webhook_runs`
    where recorded_at >= {since} and recorded_at <= {until}
"""


def statement(template: str, *, until: datetime, since: datetime | None = None) -> str:
    """Return one of the queries for the runs that began between two instants.

    The instants are constants compared with the bare column, so that partitions are pruned.
    """
    return template.format(
        since=timestamp(since or until - LOOK_BACK),
        until=timestamp(until),
        success_codes=", ".join(str(int(code)) for code in SUCCESS_CODES),
    )
