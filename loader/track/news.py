"""The news of one laundromat: its changed documents, as rows for BigQuery."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from loader.base.erasures import ERASURES
from loader.base.fields import Fields
from loader.bigquery.history import merge_history
from loader.bigquery.wishes import merge_opt_outs
from loader.messages import Oddity, history_rows
from loader.receipts import merged, send_row
from loader.wishes import opt_out_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.base.cnpj import Cnpj
    from loader.bigquery.runs import StepRecord
    from loader.bigquery.warehouse import Warehouse
    from loader.firestore.changes import ChangeReader
    from loader.firestore.registry import RegistryEntry
    from loader.messages import HistoryRow, TrackedDocument
    from loader.receipts import SendDocument
    from loader.wishes import OptOutRow, SuppressionDocument

__all__ = ["News", "own_news"]

_TOLD_PROBLEMS = 5
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class News:
    """The rows from changed documents of one laundromat."""

    documents: int = 0
    rows: dict[tuple[str, str, str, int], HistoryRow] = field(default_factory=dict)
    """Attempts, each once, from its target, its send, or both."""
    wishes: dict[str, OptOutRow] = field(default_factory=dict)
    """Opt-outs by event id."""
    oddities: list[Oddity] = field(default_factory=list)
    oldest: datetime | None = None
    """When the oldest document with rows was created; no row can be older."""

    def add(self, document: TrackedDocument, as_of: datetime) -> None:
        """Add a target document."""
        self.documents += 1
        rows, problems = history_rows(document, as_of)
        self._tell(document.campaign_type, document.customer_id, problems)
        if rows:
            created_at = Fields(document.fields).instant("createdAt") or _BEGINNING
            self._add_rows(rows, created_at)

    def add_send(self, document: SendDocument, as_of: datetime) -> None:
        """Add a document of one attempt."""
        self.documents += 1
        row, problems = send_row(document, as_of)
        # Its id is random, so it reveals nothing about the customer.
        self._tell("sends", document.attempt_id, problems)
        if row is not None:
            has_instant = Fields(document.fields).instant("at") is not None
            self._add_rows([row], row.sent_at if has_instant else _BEGINNING)

    def add_suppression(self, document: SuppressionDocument) -> None:
        """Add an opt-out."""
        self.documents += 1
        if document.event_id == ERASURES:
            # It names nobody: it has the key of the others.
            return
        row, problems = opt_out_row(document)
        # Its id is a WhatsApp message id, from which the phone can be read: do not show it.
        self._tell("suppressions", "", problems)
        self.wishes[row.event_id] = row

    def write(self, warehouse: Warehouse, cnpj: Cnpj, step: StepRecord) -> None:
        """Write the rows, if any, and count them; without rows BigQuery is not called."""
        step.rows, step.documents_read = len(self.rows), self.documents
        if self.wishes:
            step.outcomes = {"opt_outs": len(self.wishes)}
        if not self.rows and not self.wishes:
            return
        warehouse = warehouse.acting_for(cnpj)
        queries, bytes_billed = warehouse.queries, warehouse.bytes_billed
        if self.wishes:
            merge_opt_outs(warehouse, cnpj, list(self.wishes.values()))
        if self.rows:
            rows = list(self.rows.values())
            merge_history(warehouse, cnpj, rows, since=self.oldest or _BEGINNING)
        step.queries = warehouse.queries - queries
        step.bytes_billed = warehouse.bytes_billed - bytes_billed

    def _add_rows(self, rows: Sequence[HistoryRow], created_at: datetime) -> None:
        for row in rows:
            known = self.rows.get(row.key)
            self.rows[row.key] = row if known is None else merged(known, row)
        first = min(created_at, *(row.sent_at for row in rows))
        self.oldest = first if self.oldest is None else min(self.oldest, first)

    def _tell(self, kind: str, name: str, problems: Sequence[str]) -> None:
        if problems:
            self.oddities.append(Oddity(kind, name, "; ".join(problems[:_TOLD_PROBLEMS])))


def own_news(
    reader: ChangeReader, entry: RegistryEntry, as_of: datetime, *, since: datetime | None
) -> News:
    """Read the changed documents of one laundromat.

    Args:
        reader: Reads the documents.
        entry: The laundromat.
        as_of: The run's instant.
        since: Only documents with an updatedAt at or after this instant; None: all.

    """
    news = News()
    for campaign_type in sorted(entry.campaign_types):
        for target in reader.changed_of(entry.cnpj, campaign_type, since):
            news.add(target, as_of)
    for send in reader.sends(since, entry.cnpj):
        news.add_send(send, as_of)
    for suppression in reader.suppressions(since, entry.cnpj):
        news.add_suppression(suppression)
    return news
