"""campaign_targets to Firestore: read, plan, guard, write, account.

Everything is read and planned before the first write, so that a run that must not be done leaves
nothing half-written. Every write carries a precondition; a write that lost its race, or whose
outcome is unknown, is read back and decided again. Each row read ends in exactly one outcome.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from loader.errors import RunError, ServiceError
from loader.firestore.targets import Write, WriteResult
from loader.guards import (
    check_withdrawals,
    is_expired,
    published_at,
    published_rows,
    rejection,
)
from loader.planning import Action, Decision, decide, must_withdraw
from loader.report import CampaignCounts, Problem, SyncReport
from loader.targets import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from loader.cnpj import Cnpj
    from loader.targets import Target, TargetDocument

__all__ = ["CampaignCounts", "Problem", "SyncOptions", "SyncReport", "sync"]

_ROUNDS = 6
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


class TargetSource(Protocol):
    """Where rows come from; `loader.warehouse.Warehouse` in a run."""

    def published_at(self, cnpj: Cnpj) -> datetime | None:
        """Return the instant as of which the targets were last built."""

    def targets(self, cnpj: Cnpj) -> Iterator[Target]:
        """Yield the rows of campaign_targets."""


class DocumentStore(Protocol):
    """Where documents live; `loader.firestore.targets.TargetStore` in a run."""

    def pending(self, campaign_type: str) -> Iterator[TargetDocument]:
        """Yield a campaign's documents that are PENDING."""

    def read(
        self, campaign_type: str, customer_ids: Sequence[str]
    ) -> dict[str, TargetDocument | None]:
        """Return the documents of these customers."""

    def write(
        self, writes: Iterable[Write], *, as_of: datetime
    ) -> Iterator[tuple[Write, WriteResult | str]]:
        """Send writes and yield what became of each."""

    def document_bytes(self, target: Target, *, as_of: datetime) -> int:
        """Return the size of the document a row would become."""


@dataclass(frozen=True)
class SyncOptions:
    """What an operator may change about a run."""

    is_dry_run: bool = False
    max_age: timedelta = timedelta(hours=2)
    """Older targets are refused."""
    max_withdraw_percent: int = 50
    """A larger share of the pending documents is not withdrawn without being told so."""


def sync(
    source: TargetSource,
    store: DocumentStore,
    *,
    cnpj: Cnpj,
    as_of: datetime,
    campaign_types: Iterable[str],
    max_attempts: int,
    options: SyncOptions | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> SyncReport:
    """Bring a laundromat's target documents in line with its campaign_targets.

    Args:
        source: Where the rows are read.
        store: Where the documents are; bound to the same CNPJ.
        cnpj: The laundromat.
        as_of: The run's instant; every age, claim and new timestamp is measured against it.
        campaign_types: Campaigns to look at besides those that have rows: their pending
            documents may have to go.
        max_attempts: Failed attempts after which a document waits for the next cycle.
        options: Guards and the dry run.
        sleep: Waits between tries, in seconds.

    Raises:
        RunError: The targets are missing, stale or foreign, or too much would be withdrawn.
        ServiceError: A service does not answer before anything was written.

    """
    options = options or SyncOptions()
    built_at = published_at(source, cnpj, as_of, options.max_age)
    run = _Run(store, as_of=as_of, max_attempts=max_attempts, sleep=sleep)
    rows = published_rows(source, cnpj, built_at)
    writes = []
    pending_count = withdrawal_count = 0
    for campaign_type in sorted({*campaign_types, *rows}):
        pending = {document.customer_id: document for document in store.pending(campaign_type)}
        known: dict[str, TargetDocument | None] = dict(pending)
        targets = run.accept(campaign_type, rows.get(campaign_type, []))
        if options.is_dry_run:
            # A real run finds these documents when their creation fails.
            known.update(store.read(campaign_type, [id_ for id_ in targets if id_ not in known]))
        writes += run.plan(campaign_type, targets, known)
        withdrawals = run.plan_withdrawals(campaign_type, targets, pending)
        writes += withdrawals
        pending_count += sum(not is_expired(document, as_of) for document in pending.values())
        withdrawal_count += sum(not is_expired(write.document, as_of) for write in withdrawals)
    check_withdrawals(withdrawal_count, pending_count, options.max_withdraw_percent)
    if options.is_dry_run:
        run.assume(writes)
    else:
        run.execute(writes)
    return run.report(cnpj=cnpj, built_at=built_at, is_dry_run=options.is_dry_run)


Unsettled = tuple[Write, WriteResult]


@dataclass
class _Run:
    """The state of one run: what has been counted, and how to decide the rest."""

    store: DocumentStore
    as_of: datetime
    max_attempts: int
    sleep: Callable[[float], None]
    rows_read: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[Outcome]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def accept(self, campaign_type: str, rows: Iterable[Target]) -> dict[str, Target]:
        """Return the rows that can become documents, by customer id; count the others."""
        accepted: dict[str, Target] = {}
        self.outcomes.setdefault(campaign_type, Counter())
        for target in rows:
            self.rows_read[campaign_type] += 1
            reason = rejection(target, self.store, self.as_of)
            if target.customer_id in accepted:
                reason = "a second row for the same customer"
            if reason:
                self._count(campaign_type, target.customer_id, Outcome.REJECTED, reason)
            else:
                accepted[target.customer_id] = target
        return accepted

    def plan(
        self,
        campaign_type: str,
        targets: dict[str, Target],
        known: dict[str, TargetDocument | None],
    ) -> list[Write]:
        """Decide every row; count those that need no write and return the writes."""
        writes = []
        for customer_id, target in targets.items():
            document = known.get(customer_id)
            decision = self._decide(target, document)
            if decision.action is Action.NONE:
                self._count(campaign_type, customer_id, decision.outcome, decision.reason)
            else:
                writes.append(Write(decision.action, campaign_type, customer_id, target, document))
        return writes

    def plan_withdrawals(
        self,
        campaign_type: str,
        targets: dict[str, Target],
        pending: dict[str, TargetDocument],
    ) -> list[Write]:
        """Return the deletion of every pending document that lost its row."""
        return [
            Write(Action.WITHDRAW, campaign_type, customer_id, None, document)
            for customer_id, document in pending.items()
            if customer_id not in targets and must_withdraw(document, as_of=self.as_of)
        ]

    def assume(self, writes: list[Write]) -> None:
        """Count the writes as done."""
        for write in writes:
            self._count(write.campaign_type, write.customer_id, _OUTCOMES[write.action])

    def execute(self, writes: list[Write]) -> None:
        """Write until every row has its outcome, in a limited number of rounds."""
        doubtful: list[Unsettled] = []
        for round_ in range(_ROUNDS):
            for write, result in self.store.write(writes, as_of=self.as_of):
                if result is WriteResult.DONE:
                    self._count(write.campaign_type, write.customer_id, _OUTCOMES[write.action])
                elif isinstance(result, WriteResult):
                    doubtful.append((write, result))
                else:
                    self._fail(write, result)
            if not doubtful:
                return
            if round_ or any(result is WriteResult.UNKNOWN for _, result in doubtful):
                self.sleep(_pause_seconds(round_))
            writes, doubtful = self._read_back(doubtful)
        for write in (*writes, *(write for write, _ in doubtful)):
            self._fail(
                write, f"no write was confirmed in {_ROUNDS} rounds; the next run decides again"
            )

    def report(self, *, cnpj: Cnpj, built_at: datetime, is_dry_run: bool) -> SyncReport:
        """Return the figures, once they add up."""
        campaigns = []
        for campaign_type, outcomes in sorted(self.outcomes.items()):
            of_rows = outcomes.total() - outcomes[Outcome.WITHDRAWN]
            if of_rows != self.rows_read[campaign_type]:
                message = (
                    f"{campaign_type}: {self.rows_read[campaign_type]} rows were read and "
                    f"{of_rows} accounted for"
                )
                raise RunError(message, hint="this is a bug in the loader: report it")
            campaigns.append(
                CampaignCounts(campaign_type, self.rows_read[campaign_type], dict(outcomes))
            )
        return SyncReport(
            cnpj=cnpj,
            as_of=self.as_of,
            built_at=built_at,
            is_dry_run=is_dry_run,
            campaigns=tuple(campaigns),
            problems=tuple(self.problems),
        )

    def _decide(self, target: Target, document: TargetDocument | None) -> Decision:
        return decide(target, document, as_of=self.as_of, max_attempts=self.max_attempts)

    def _read_back(self, doubtful: list[Unsettled]) -> tuple[list[Write], list[Unsettled]]:
        """Return what to write next, and what could not be read and stays in doubt."""
        by_campaign: dict[str, list[Unsettled]] = {}
        for write, result in doubtful:
            by_campaign.setdefault(write.campaign_type, []).append((write, result))
        writes: list[Write] = []
        unread: list[Unsettled] = []
        for campaign_type, group in by_campaign.items():
            try:
                documents = self.store.read(campaign_type, [w.customer_id for w, _ in group])
            except ServiceError as error:
                if not error.is_transient:
                    raise
                unread += group
                continue
            for write, result in group:
                found = documents[write.customer_id]
                writes += self._settle(write, found, was_lost=result is WriteResult.LOST_RACE)
        return writes, unread

    def _settle(
        self, write: Write, document: TargetDocument | None, *, was_lost: bool
    ) -> list[Write]:
        """Count a write whose effect can now be seen, or return what to write instead."""
        if not was_lost and self._has_landed(write, document):
            self._count(write.campaign_type, write.customer_id, _OUTCOMES[write.action])
            return []
        if write.target is None:
            # Somebody else took the document or deleted it: no row waits for an outcome.
            if document is None or not must_withdraw(document, as_of=self.as_of):
                return []
            return [Write(Action.WITHDRAW, write.campaign_type, write.customer_id, None, document)]
        return self.plan(
            write.campaign_type, {write.customer_id: write.target}, {write.customer_id: document}
        )

    def _has_landed(self, write: Write, document: TargetDocument | None) -> bool:
        if write.target is None or document is None:
            return write.target is None and document is None
        if write.document is not None and document.update_time == write.document.update_time:
            return False
        # An instant that only this run writes; the sender's own next write replaces it, and the
        # document is then decided by what it says.
        return document.updated_at == self.as_of

    def _fail(self, write: Write, reason: str) -> None:
        if write.target is None:
            # No row waits for this outcome; it is reported all the same.
            self._report(write.campaign_type, write.customer_id, Outcome.FAILED, reason)
        else:
            self._count(write.campaign_type, write.customer_id, Outcome.FAILED, reason)

    def _count(
        self, campaign_type: str, customer_id: str, outcome: Outcome, reason: str = ""
    ) -> None:
        self.outcomes[campaign_type][outcome] += 1
        if outcome in _REPORTED:
            self._report(campaign_type, customer_id, outcome, reason)

    def _report(self, campaign_type: str, customer_id: str, outcome: Outcome, reason: str) -> None:
        self.problems.append(Problem(campaign_type, customer_id, outcome, reason))


_OUTCOMES = {
    Action.CREATE: Outcome.CREATED,
    Action.REPLACE: Outcome.REPLACED,
    Action.UPDATE: Outcome.UPDATED,
    Action.REQUEUE: Outcome.REQUEUED,
    Action.WITHDRAW: Outcome.WITHDRAWN,
}
_REPORTED = frozenset({Outcome.REJECTED, Outcome.FAILED, Outcome.EXHAUSTED})


def _pause_seconds(round_: int) -> float:
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0**round_)
    # Jitter keeps the syncs of many laundromats from coming back at the same moment.
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
