"""From planned rows to outcomes: decide, write, read uncertain writes back, count.

Rows are taken when there is room for them, and dropped once they have an outcome, so memory does
not grow with their number. Every row that was taken gets its outcome before the run ends, also when
the run is stopped.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from loader.base.errors import ExitCode, ServiceError, VmhubError
from loader.sync.decide import Action, decide, must_withdraw
from loader.sync.model import Outcome, Target, TargetDocument
from loader.sync.ports import UnfitValueError, Write, WriteResult
from loader.sync.report import Problem, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from datetime import datetime

    from loader.base.interrupts import Interrupts
    from loader.base.retry import Retry
    from loader.sync.ports import DocumentStore
    from loader.sync.report import Ledger

__all__ = ["PlannedRow", "Writing"]

# Documents per read. This many uncertain writes are read back before more rows are taken.
_READ_DOCUMENTS = 300
# Seconds to keep resolving uncertain writes after a stop.
_GRACE_SECONDS = 10.0

ItemT = TypeVar("ItemT")

_OUTCOMES = {
    Action.CREATE: Outcome.CREATED,
    Action.REPLACE: Outcome.REPLACED,
    Action.UPDATE: Outcome.UPDATED,
    Action.REQUEUE: Outcome.REQUEUED,
    Action.WITHDRAW: Outcome.WITHDRAWN,
}


class PlannedRow(NamedTuple):
    """A row, with what is known before anything is written."""

    target: Target
    rejection: str
    """Why it cannot become a document; empty when it may."""
    document: TargetDocument | None
    """Its pending document; None: there is no pending one, but there can be another."""


class Writing:
    """The writing of one run: from rows to outcomes."""

    def __init__(
        self,
        store: DocumentStore,
        ledger: Ledger,
        *,
        as_of: datetime,
        max_attempts: int,
        retry: Retry,
        interrupts: Interrupts,
        is_dry_run: bool,
        limit: int | None,
    ) -> None:
        """Begin a run.

        Args:
            store: Where the documents are.
            ledger: Where outcomes are counted.
            as_of: The run's instant.
            max_attempts: Failed attempts after which a document is left alone in its cycle.
            retry: How long to retry a service that does not answer.
            interrupts: Checked before every row.
            is_dry_run: Count writes as done without sending them.
            limit: The most rows to write; None: all.

        """
        self.stopped: Stop | None = None
        self._store = store
        self._ledger = ledger
        self._as_of = as_of
        self._max_attempts = max_attempts
        self._retry = retry
        self._interrupts = interrupts
        self._is_dry_run = is_dry_run
        self._left = limit
        self._doubts: list[tuple[Write, WriteResult]] = []
        self._last_done = retry.clock()
        self._stopped_at = 0.0
        self._has_all_rows = False

    def run(
        self, withdrawals: Iterable[tuple[str, TargetDocument]], parts: Iterable[list[PlannedRow]]
    ) -> None:
        """Settle all rows and withdrawals, or those before the run is stopped."""
        withdraw = (
            Write(Action.WITHDRAW, campaign_type, document.customer_id, None, b"", document)
            for campaign_type, document in withdrawals
        )
        of_rows = self._writes(parts)
        self._send(self._until_stopped(chain(withdraw, of_rows)))
        of_rows.close()
        while self._doubts:
            self._send(self._settled())

    def _until_stopped(self, writes: Iterator[Write]) -> Iterator[Write]:
        while self.stopped is None:
            if self._interrupts.received is not None:
                number = self._interrupts.received
                self._stop(f"interrupted by {number.name}", 128 + number)
                return
            try:
                write = next(writes)
            except StopIteration:
                self._has_all_rows = True
                return
            except VmhubError as error:
                self._stop(str(error), error.exit_code)
                return
            yield write

    def _send(self, writes: Iterator[Write]) -> None:
        results: Iterable[tuple[Write, WriteResult | str | ServiceError]] = (
            ((write, WriteResult.DONE) for write in writes)
            if self._is_dry_run
            else self._store.write(writes, as_of=self._as_of)
        )
        for write, result in results:
            if result is WriteResult.DONE:
                self._last_done = self._retry.clock()
                self._count(write)
            elif isinstance(result, WriteResult):
                self._doubt(write, result)
            elif isinstance(result, ServiceError):
                self._fail(write, result.message)
                self._stop(str(result), result.exit_code)
            else:
                self._fail(write, result)

    def _writes(self, parts: Iterable[list[PlannedRow]]) -> Generator[Write]:
        """Decide every row, and yield the writes; count the rows that need none."""
        # A dry run must know whether a document exists, and a limit whether the write counts.
        must_look = self._is_dry_run or self._left is not None
        unseen: list[tuple[Target, bytes]] = []
        for part in parts:
            payloads = [self._payload(target, rejection) for target, rejection, _ in part]
            for (target, _, document), payload in zip(part, payloads, strict=True):
                if payload is None:
                    continue
                if document is not None or not must_look:
                    write = self._planned(target, payload, document)
                    if write is not None:
                        yield write
                elif self._left == 0:
                    self._count_row(target, Outcome.DEFERRED)
                else:
                    unseen.append((target, payload))
                    if len(unseen) >= min(_READ_DOCUMENTS, self._left or _READ_DOCUMENTS):
                        yield from self._looked_up(unseen)
                        unseen = []
            while len(self._doubts) >= _READ_DOCUMENTS:
                yield from self._settled()
        yield from self._looked_up(unseen)

    def _payload(self, target: Target, rejection: str) -> bytes | None:
        """Return a row's payload; if it has none, count the row and return None."""
        reason = rejection
        if not reason:
            try:
                return self._store.payload(target)
            except UnfitValueError as error:
                reason = str(error)
        self._count_row(target, Outcome.REJECTED, reason)
        return None

    def _looked_up(self, rows: Sequence[tuple[Target, bytes]]) -> Iterator[Write]:
        for campaign_type, group in _by_campaign(rows, lambda row: row[0].campaign_type):
            ids = [target.customer_id for target, _ in group]
            documents = self._retry.call(partial(self._store.read, campaign_type, ids))
            for target, payload in group:
                write = self._planned(target, payload, documents[target.customer_id])
                if write is not None:
                    yield write

    def _planned(
        self, target: Target, payload: bytes, document: TargetDocument | None
    ) -> Write | None:
        """Return what to write for a new row, within the limit."""
        write = self._decided(target, payload, document)
        if write is not None and self._left is not None:
            if self._left == 0:
                self._count_row(target, Outcome.DEFERRED)
                return None
            self._left -= 1
        return write

    def _decided(
        self, target: Target, payload: bytes, document: TargetDocument | None
    ) -> Write | None:
        """Return what to write for a row; if nothing, count the row and return None."""
        decision = decide(
            target,
            document,
            payload=self._store.digest(payload) if document is not None else b"",
            as_of=self._as_of,
            max_attempts=self._max_attempts,
        )
        if decision.action is Action.NONE:
            self._count_row(target, decision.outcome, decision.reason)
            return None
        return Write(
            decision.action, target.campaign_type, target.customer_id, target, payload, document
        )

    # Uncertain writes

    def _doubt(self, write: Write, result: WriteResult) -> None:
        write.tries += 1
        if write.doubtful_since is None:
            write.doubtful_since = self._retry.clock()
        self._doubts.append((write, result))

    def _settled(self) -> Iterator[Write]:
        """Read uncertain writes back; count those that are clear, yield what to write instead."""
        doubts, self._doubts = self._doubts, []
        tries = max(write.tries for write, _ in doubts)
        if tries > 1 or any(result is not WriteResult.LOST_RACE for _, result in doubts):
            self._retry.pause(tries)
        groups = list(_by_campaign(doubts, lambda doubt: doubt[0].campaign_type))
        try:
            while groups:
                campaign_type, group = groups[0]
                yield from self._settled_group(campaign_type, group)
                groups.pop(0)
        finally:
            # The run was stopped in between: these writes are still uncertain.
            self._doubts += [doubt for _, group in groups for doubt in group]

    def _settled_group(
        self, campaign_type: str, group: list[tuple[Write, WriteResult]]
    ) -> Iterator[Write]:
        """Settle the uncertain writes of one read, and remove each from the group."""
        try:
            documents = self._store.read(campaign_type, [write.customer_id for write, _ in group])
        except ServiceError as error:
            doubts = list(group)
            group.clear()
            self._not_read(doubts, error)
            return
        while group:
            write, result = group.pop()
            again = self._settle(write, result, documents[write.customer_id])
            if again is not None:
                yield again

    def _not_read(self, group: list[tuple[Write, WriteResult]], error: ServiceError) -> None:
        for write, result in group:
            if error.is_transient and not self._is_over(write):
                self._doubt(write, result)
            else:
                self._give_up(write, f"it could not be read back: {error.message}")
        if not error.is_transient:
            self._stop(str(error), error.exit_code)

    def _settle(
        self, write: Write, result: WriteResult, document: TargetDocument | None
    ) -> Write | None:
        """Count a write whose effect can now be seen, or return what to write instead."""
        if result is not WriteResult.LOST_RACE and self._has_landed(write, document):
            self._last_done = self._retry.clock()
            self._count(write)
            return None
        if write.target is None:
            # Another program took or deleted the document; no row waits for an outcome.
            if document is None or not must_withdraw(document, as_of=self._as_of):
                return None
            again: Write | None = Write(
                Action.WITHDRAW, write.campaign_type, write.customer_id, None, b"", document
            )
        else:
            again = self._decided(write.target, write.payload, document)
        if again is None:
            return None
        if self._is_over(write):
            self._give_up(write, "no write was confirmed in time; the next run decides again")
            return None
        again.tries, again.doubtful_since = write.tries, write.doubtful_since
        return again

    def _has_landed(self, write: Write, document: TargetDocument | None) -> bool:
        if write.is_deletion or document is None:
            return write.target is None and document is None
        if write.document is not None and document.update_time == write.document.update_time:
            return False
        # Only this run writes this instant. A sender's later write replaces it; the document is
        # then decided by its content.
        return document.updated_at == write.updated_at(self._as_of)

    def _is_over(self, write: Write) -> bool:
        assert write.doubtful_since is not None
        if self.stopped is not None:
            since = max(write.doubtful_since, self._stopped_at)
            return self._retry.clock() - since >= _GRACE_SECONDS
        return self._retry.is_over(write.doubtful_since)

    def _give_up(self, write: Write, reason: str) -> None:
        self._fail(write, reason)
        assert write.doubtful_since is not None
        if not self._has_all_rows and self._last_done <= write.doubtful_since:
            # Every further row would wait just as long, and also fail.
            seconds = f"{self._retry.patience_seconds:.0f} seconds"
            self._stop(f"Firestore confirmed no write for {seconds}", ExitCode.FAILED)

    def _stop(self, reason: str, exit_code: int) -> None:
        if self.stopped is None:
            self.stopped, self._stopped_at = Stop(reason, exit_code), self._retry.clock()

    # Counting

    def _count(self, write: Write) -> None:
        self._ledger.count(write.campaign_type, write.customer_id, _OUTCOMES[write.action])

    def _count_row(self, target: Target, outcome: Outcome, reason: str = "") -> None:
        self._ledger.count(target.campaign_type, target.customer_id, outcome, reason)

    def _fail(self, write: Write, reason: str) -> None:
        if write.target is None:
            # No row waits for this outcome, but it is still reported.
            self._ledger.report(
                Problem(write.campaign_type, write.customer_id, Outcome.FAILED, reason)
            )
        else:
            self._count_row(write.target, Outcome.FAILED, reason)


def _by_campaign(
    items: Iterable[ItemT], campaign_type: Callable[[ItemT], str]
) -> Iterator[tuple[str, list[ItemT]]]:
    """Yield items by campaign, in groups for one read each."""
    groups: dict[str, list[ItemT]] = {}
    for item in items:
        groups.setdefault(campaign_type(item), []).append(item)
    for campaign, group in groups.items():
        for start in range(0, len(group), _READ_DOCUMENTS):
            yield campaign, group[start : start + _READ_DOCUMENTS]
