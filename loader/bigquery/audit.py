"""VMHUB_OPS.audit: who changed something or looked at a named person.

An entry is written before the change is made or the person is shown, and without it neither
happens. So an entry says what somebody set out to do; a change that then failed has an entry, too.
Entries are streamed in and never changed.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from loader.base.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.declaration import SourceTable
    from loader.bigquery.warehouse import Warehouse

__all__ = ["AuditAction", "AuditEntry", "AuditLog"]


class AuditAction(StrEnum):
    """What somebody did."""

    LOOK = "LOOK"
    """Looked at a named person."""
    CHANGE = "CHANGE"
    """Changed a value, such as a setting or a registry entry."""
    EXPORT = "EXPORT"
    """Exported everything about a person."""
    ERASE = "ERASE"
    """Erased a person."""
    SWEEP = "SWEEP"
    """Removed what is older than it may be."""


@dataclass(frozen=True)
class AuditEntry:
    """One change or look. No part of it is personal data: people go by their pseudonym."""

    action: AuditAction
    subject: str
    """What was changed or looked at, such as ``customer person-…`` or ``setting max_attempts``."""
    cnpj: Cnpj | None = None
    """The laundromat; None: the fleet."""
    before: Mapping[str, Any] | None = None
    """What is replaced; None: nothing."""
    after: Mapping[str, Any] | None = None
    """What replaces it; None: nothing."""


class AuditLog:
    """The audit log of one command, run by one person or account."""

    def __init__(
        self,
        warehouse: Warehouse,
        table: SourceTable,
        *,
        actor: str,
        command: str,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Begin the log of one command.

        Args:
            warehouse: Holds VMHUB_OPS.
            table: The declaration of VMHUB_OPS.audit; a missing table is created.
            actor: Who runs the command, such as an account's e-mail address.
            command: The command or page, such as ``vmhub explain``.
            clock: The machine's time.

        """
        self._warehouse = warehouse
        self._table = table
        self._actor = actor
        self._command = command
        self._clock = clock

    def record(self, entries: Sequence[AuditEntry]) -> None:
        """Write entries; do what they say only after this has returned.

        Raises:
            ServiceError: BigQuery did not take them.

        """
        recorded_at = self._clock().isoformat()
        rows = [
            {
                "entry_id": str(uuid.uuid4()),
                "recorded_at": recorded_at,
                "actor": self._actor,
                "command": self._command,
                "cnpj": entry.cnpj,
                "action": entry.action.value,
                "subject": entry.subject,
                "before": None if entry.before is None else json.dumps(dict(entry.before)),
                "after": None if entry.after is None else json.dumps(dict(entry.after)),
            }
            for entry in entries
        ]
        if rows:
            self._warehouse.insert(self._table, rows)
