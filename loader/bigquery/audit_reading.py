"""Reads VMHUB_OPS.audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loader.bigquery.declaration import OPS_DATASET

if TYPE_CHECKING:
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.audit import AuditAction
    from loader.bigquery.warehouse import Warehouse

__all__ = ["AuditQuestion", "Recorded", "read_audit"]

# `recorded_at` is the partitioning column, so only the days asked for are read.
_ENTRIES = f"""
    select entry_id, recorded_at, actor, command, cnpj, action, subject, before, after
    from `{OPS_DATASET}`.`audit`
    where recorded_at >= timestamp(@since)
        and (@cnpj = '' or cnpj = @cnpj)
        and (@action = '' or action = @action)
        and (@pseudonym = '' or strpos(subject, @pseudonym) > 0)
    order by recorded_at desc, entry_id
    limit {{most}}
"""  # noqa: S608 # nosec B608 # a constant, and a number


@dataclass(frozen=True)
class AuditQuestion:
    """Which entries to read; the parts left out do not limit them."""

    since: datetime
    cnpj: Cnpj | None = None
    action: AuditAction | None = None
    pseudonym: str | None = None
    """Of a customer, a phone or a list, as it stands in the subject."""


@dataclass(frozen=True)
class Recorded:
    """One entry, as it was written."""

    entry_id: str
    recorded_at: datetime
    actor: str
    command: str
    cnpj: str | None
    action: str
    subject: str
    before: Any
    after: Any


def read_audit(warehouse: Warehouse, question: AuditQuestion, *, most: int) -> list[Recorded]:
    """Return the newest entries that a question asks for, newest first.

    Args:
        warehouse: Holds VMHUB_OPS.
        question: Which entries.
        most: The number of entries to return at most.

    Raises:
        NotFoundError: There is no audit log yet.
        ServiceError: BigQuery does not answer.

    """
    rows = warehouse.query(
        _ENTRIES.format(most=most),
        doing="reading the audit log",
        parameters={
            "since": question.since.isoformat(),
            "cnpj": question.cnpj or "",
            "action": question.action.value if question.action else "",
            "pseudonym": question.pseudonym or "",
        },
    )
    return [Recorded(**row) for row in rows]
