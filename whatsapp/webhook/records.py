"""What a webhook process did, as rows of VMHUB_OPS: webhook_runs, webhook_rejects, webhook_events.

No POST waits for BigQuery: rows are kept here, and rows that cannot be written are tried again.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from loader.bigquery.ops import OpsLog
    from whatsapp.webhook.items import Unreadable

__all__ = ["WebhookLog"]

_log = logging.getLogger(__name__)

_MOST_ROWS = 5_000


class WebhookLog:
    """Keeps rows until they are written, and writes the counts of the process."""

    def __init__(
        self, new_log: Callable[[], OpsLog] | None, *, now: Callable[[], datetime]
    ) -> None:
        """Begin empty.

        Args:
            new_log: Returns a new log of VMHUB_OPS each time, since a log gives up after its first
                failure; None: nothing is recorded.
            now: The clock.

        """
        self._new_log, self._now = new_log, now
        self._run_id = str(uuid.uuid4())
        self._started_at = now()
        self._rows: dict[str, deque[dict[str, Any]]] = {
            "webhook_rejects": deque(),
            "webhook_events": deque(),
        }
        self.lost: Counter[str] = Counter()
        """Dropped rows, by table: BigQuery failed for so long that too many rows waited."""

    def reject(self, item: Unreadable) -> None:
        """Keep a row for an item that could not be read or applied, without its content."""
        self._add(
            "webhook_rejects",
            {
                "run_id": self._run_id,
                "recorded_at": self._now().isoformat(),
                "kind": item.kind,
                "reason": item.reason,
                "phone_number_id": item.number_id,
            },
        )

    def event(self, row: dict[str, Any]) -> None:
        """Keep an event of a template, number, account or limit."""
        self._add("webhook_events", {"run_id": self._run_id, **row})

    def write(self, counts: dict[str, Any] | None = None) -> None:
        """Write all waiting rows and, if counts are given, one row with them."""
        if self._new_log is None:
            return
        log = self._new_log()
        for table, waiting in self._rows.items():
            rows = list(waiting)
            if not rows:
                continue
            log.insert(table, rows)
            if log.failure:
                _log.warning("%s rows of %s wait", len(rows), table)
                return
            for _ in rows:
                waiting.popleft()
        if counts is not None:
            log.insert("webhook_runs", [self._run(counts)])

    def _run(self, counts: dict[str, Any]) -> dict[str, Any]:
        return {
            "run_id": self._run_id,
            "started_at": self._started_at.isoformat(),
            "recorded_at": self._now().isoformat(),
            **{
                name: json.dumps(value) if isinstance(value, dict) else value
                for name, value in counts.items()
            },
            "rows_lost": sum(self.lost.values()),
        }

    def _add(self, table: str, row: dict[str, Any]) -> None:
        waiting = self._rows[table]
        if len(waiting) >= _MOST_ROWS:
            self.lost[table] += 1
            _log.error("a row of %s is lost: BigQuery does not take any", table)
            return
        waiting.append(row)
