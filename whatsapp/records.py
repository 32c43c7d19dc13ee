"""What a sender did, as rows of VMHUB_OPS.send_runs and VMHUB_OPS.send_pauses."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from loader.bigquery.ops import OpsLog
    from whatsapp.report import SendReport

__all__ = ["SendLog"]


class SendLog:
    """Records what one sender does: a row every ten minutes and one at its end."""

    def __init__(self, log: OpsLog) -> None:
        """Use this log of VMHUB_OPS."""
        self._log = log
        self._run_id = str(uuid.uuid4())
        self._pauses_written = 0

    def record(self, report: SendReport, now: datetime) -> None:
        """Record what was done since the sender started, and the new pauses."""
        self._log.insert("send_runs", [self._run(report, now)])
        new = report.pauses[self._pauses_written :]
        if new:
            self._log.insert("send_pauses", [self._pause(pause) for pause in new])
            self._pauses_written += len(new)

    def _run(self, report: SendReport, now: datetime) -> dict[str, Any]:
        oldest = report.oldest_waiting_at
        return {
            "run_id": self._run_id,
            "started_at": report.started_at.isoformat(),
            "recorded_at": now.isoformat(),
            "sent": report.sent,
            "unknown": report.unknown,
            "failed": json.dumps(report.failed),
            "stopped": json.dumps(report.stopped),
            "errors": report.errors,
            "waiting": json.dumps(report.waiting),
            "oldest_waiting_at": oldest.isoformat() if oldest else None,
            "open_attempts": report.open_attempts,
            "given_up": report.given_up,
            "polls": report.polls,
            "documents_read": report.documents_read,
            "writes_sent": report.writes_sent,
            "people_left": json.dumps(report.people_left),
            "money_left": json.dumps(report.money_left),
        }

    def _pause(self, pause: Any) -> dict[str, Any]:
        return {
            "run_id": self._run_id,
            "kind": pause.kind.value,
            "key": pause.key,
            "reason": pause.reason,
            "begun_at": pause.at.isoformat(),
            "until": pause.until.isoformat(),
        }
