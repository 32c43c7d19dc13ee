"""The ports of sync: where rows come from, and where documents are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from loader.sync.decide import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.base.errors import ServiceError
    from loader.sync.model import Target, TargetDocument

__all__ = [
    "DocumentStore",
    "TargetSource",
    "UnfitValueError",
    "Write",
    "WriteResult",
]


# Firestore's instants have microseconds.
_NEXT = timedelta(microseconds=1)


class UnfitValueError(ValueError):
    """A value that Firestore cannot store; the text says why without quoting the value."""


class WriteResult(Enum):
    """What is known about a write after its request."""

    DONE = auto()
    LOST_RACE = auto()
    """The document had changed since it was read; nothing was written."""
    UNKNOWN = auto()
    """It may or may not have been written: read it back."""


@dataclass(slots=True)
class Write:
    """One intended change of one document.

    ``document`` is what was read before, and becomes the precondition; None requires that no
    document exists. A write without a target is a withdrawal.
    """

    action: Action
    campaign_type: str
    customer_id: str
    target: Target | None
    payload: bytes
    """The target's `DocumentStore.payload`; empty without a target."""
    document: TargetDocument | None
    tries: int = 0
    """How often this write, or one it replaces, ended without a known result."""
    doubtful_since: float | None = None
    """When that first happened, by the run's clock in seconds."""

    @property
    def is_deletion(self) -> bool:
        """Return whether the document is deleted: withdrawn without an attempt."""
        return self.target is None and not (self.document and self.document.was_attempted)

    def updated_at(self, as_of: datetime) -> datetime:
        """Return the document's new updatedAt: a run's instant, and never an earlier one.

        A run may be frozen for hours. If it moved updatedAt back, tracking might not see what a
        sender has written into the same document meanwhile.
        """
        known = None if self.document is None else self.document.updated_at
        is_new = self.action in {Action.CREATE, Action.REPLACE}
        return as_of if is_new or known is None or known <= as_of else known + _NEXT


class TargetSource(Protocol):
    """Where rows come from; `loader.bigquery.warehouse.Warehouse` in a run."""

    def published_at(self, cnpj: Cnpj) -> datetime | None:
        """Return the instant as of which the targets were last built."""

    def opted_out(self, cnpj: Cnpj) -> set[tuple[str, str]]:
        """Return the campaign and customer id of each decision that an opt-out blocks."""

    def targets(self, cnpj: Cnpj) -> Iterable[Sequence[Target]]:
        """Return the rows of campaign_targets in parts; each iteration yields the same order."""


class DocumentStore(Protocol):
    """Where documents are; `loader.firestore.targets.TargetStore` in a run."""

    documents_read: int

    @property
    def writes_sent(self) -> int:
        """Return how many writes were sent, repeated ones included."""

    def pending(self, campaign_type: str, *, after: str | None = None) -> Iterator[TargetDocument]:
        """Yield a campaign's PENDING documents by id, beginning behind ``after``."""

    def read(
        self, campaign_type: str, customer_ids: Sequence[str]
    ) -> dict[str, TargetDocument | None]:
        """Return the documents of these customers."""

    def payload(self, target: Target) -> bytes:
        """Return the fields that a row sets; raise an UnfitValueError if it cannot be stored."""

    def digest(self, payload: bytes) -> bytes:
        """Return a payload's digest, to compare with a document's."""

    def write(
        self, writes: Iterable[Write], *, as_of: datetime
    ) -> Iterator[tuple[Write, WriteResult | str | ServiceError]]:
        """Send writes when there is room, and yield the result of each."""
