"""VMHUB_OPS: what each run did, and the rows somebody should look at.

Rows are streamed in, since load jobs are limited to 1,500 a table and day
(https://cloud.google.com/bigquery/quotas#load_jobs) and thousands of laundromats sync every hour.
A failure to record never hides the result of the run itself.
"""

from __future__ import annotations

import json
import logging
import uuid
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loader.base.clock import now
from loader.base.errors import VmhubError, exit_code_of, reason_of
from loader.bigquery.runs import Run
from loader.bigquery.warehouse import ROWS_A_REQUEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.declaration import SourceTable
    from loader.bigquery.warehouse import Warehouse
    from loader.messages import Oddity
    from loader.sync.report import Problem, SyncReport

__all__ = ["OpsLog", "SyncLog", "reject_row"]

_log = logging.getLogger(__name__)


def reject_row(
    run_id: str,
    cnpj: Cnpj,
    recorded_at: datetime,
    about: Problem | Oddity,
    outcome: str,
) -> dict[str, Any]:
    """Return a row of VMHUB_OPS.sync_rejects: what somebody should look at."""
    return {
        "run_id": run_id,
        "cnpj": cnpj,
        "recorded_at": recorded_at.isoformat(),
        "campaign_type": about.campaign_type,
        "customer_id": about.customer_id,
        "outcome": outcome,
        "reason": about.reason,
    }


class OpsLog:
    """Puts rows into the tables of VMHUB_OPS."""

    def __init__(self, warehouse: Warehouse, tables: Mapping[str, SourceTable]) -> None:
        """Use these tables, given by name; missing ones are created."""
        self.failure = ""
        """Why something could not be recorded; empty when all was recorded."""
        self._warehouse = warehouse
        self._tables = tables

    def insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Record rows; note a service that fails, and do not ask it again."""
        if self.failure:
            # Waiting once for a service that does not answer is enough.
            return
        try:
            self._warehouse.insert(self._tables[table], rows)
        except VmhubError as error:
            self.failure = str(error)
            _log.error("this run is not fully recorded in VMHUB_OPS: %s", error)

    @contextmanager
    def run(self, cnpj: Cnpj | None, command: str, as_of: datetime) -> Iterator[Run]:
        """Measure a block as a run; record it even when an error ends it.

        Args:
            cnpj: The laundromat; None: all of them together.
            command: What runs, such as build.
            as_of: The run's instant.

        """
        run, failure = Run(cnpj, command, as_of), None
        try:
            yield run
        except BaseException as error:
            failure = error
            raise
        finally:
            self.insert("runs", [run.row(failure)])


class SyncLog(OpsLog):
    """One run's rows in VMHUB_OPS.sync_runs and VMHUB_OPS.sync_rejects."""

    def __init__(
        self,
        warehouse: Warehouse,
        tables: Mapping[str, SourceTable],
        *,
        cnpj: Cnpj,
        as_of: datetime,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Begin a run.

        Args:
            warehouse: Holds the tables, or will once they are created.
            tables: Their declarations, by name.
            cnpj: The laundromat.
            as_of: The run's instant.
            clock: The machine's time.

        """
        super().__init__(warehouse, tables)
        self._cnpj = cnpj
        self._as_of = as_of
        self._clock = clock
        self._run_id = str(uuid.uuid4())
        self._started_at = clock()
        self._problems: list[dict[str, Any]] = []
        self._problem_count = 0

    def problem(self, problem: Problem) -> None:
        """Record a row that somebody should look at."""
        self._problem_count += 1
        row = reject_row(self._run_id, self._cnpj, self._clock(), problem, problem.outcome.value)
        self._problems.append(row)
        if len(self._problems) == ROWS_A_REQUEST:
            self._flush()

    def finished(self, report: SyncReport) -> SyncReport:
        """Record a run's result; return its report with what could not be recorded."""
        self._flush()
        self._record_run(
            built_at=report.built_at.isoformat(),
            exit_code=report.exit_code,
            reason=report.stopped.reason if report.stopped else None,
            rows_read=report.rows_read,
            counts=json.dumps(
                {
                    campaign.campaign_type: {"rows": campaign.rows_read, **campaign.outcomes}
                    for campaign in report.campaigns
                }
            ),
            documents_read=report.documents_read,
            writes_sent=report.writes_sent,
            seconds=report.seconds,
            cpu_seconds=report.cpu_seconds,
        )
        return replace(report, not_recorded=self.failure)

    def failed(self, error: BaseException) -> None:
        """Record a run that an error ended."""
        self._flush()
        self._record_run(
            exit_code=exit_code_of(error),
            error=type(error).__name__,
            reason=reason_of(error),
            seconds=(self._clock() - self._started_at).total_seconds(),
        )

    def _record_run(self, **columns: Any) -> None:
        row = {
            "run_id": self._run_id,
            "cnpj": self._cnpj,
            "as_of": self._as_of.isoformat(),
            "started_at": self._started_at.isoformat(),
            "ended_at": self._clock().isoformat(),
            "problems": self._problem_count,
            **columns,
        }
        self.insert("sync_runs", [row])

    def _flush(self) -> None:
        if self._problems:
            self.insert("sync_rejects", self._problems)
            self._problems = []
