"""campaign_targets to Firestore: read, guard, write, account.

All rows are read twice from one snapshot. The first time, only the rows' keys are kept, in a few
bytes per row, and compared with the pending documents. The guards stop a harmful run there, before
the first write. The second time, each row is decided and written (`loader.sync.write`). Each row
read ends in exactly one outcome.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError, RunError
from loader.base.interrupts import Interrupts
from loader.base.retry import Retry, resumed
from loader.sync.decide import must_withdraw
from loader.sync.guards import (
    check_rows,
    check_withdrawals,
    is_expired,
    is_mass_withdrawal,
    published_at,
    rejection,
)
from loader.sync.match import RowKeys, RowState, Withdrawals
from loader.sync.model import Outcome
from loader.sync.report import CampaignCounts, Ledger, Problem, SyncReport
from loader.sync.suppressed import Suppressed
from loader.sync.write import PlannedRow, Writing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.sync.match import Matches
    from loader.sync.model import Target, TargetDocument
    from loader.sync.ports import DocumentStore, TargetSource

__all__ = [
    "CampaignCounts",
    "Problem",
    "SyncOptions",
    "SyncReport",
    "sync",
    "withdraw_suppressed",
]

_log = logging.getLogger(__name__)

_PENDING_AT_A_TIME = 1000


@dataclass(frozen=True)
class SyncOptions:
    """What an operator may change about a run."""

    is_dry_run: bool = False
    max_age: timedelta = timedelta(hours=2)
    """The run refuses older targets."""
    max_withdraw_percent: int = 50
    """The largest share of the pending documents that may be withdrawn."""
    campaigns: frozenset[str] = frozenset()
    """Sync only these campaign types; empty: all."""
    limit: int | None = None
    """The most rows to write; it does not limit withdrawals."""


def sync(
    source: TargetSource,
    store: DocumentStore,
    *,
    cnpj: Cnpj,
    as_of: datetime,
    campaign_types: Iterable[str],
    max_attempts: int,
    suppressed_keys: Callable[[], Collection[str]] = frozenset,
    options: SyncOptions | None = None,
    retry: Retry | None = None,
    interrupts: Interrupts | None = None,
    on_problem: Callable[[Problem], None] = lambda _: None,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> SyncReport:
    """Bring a laundromat's target documents in line with its campaign_targets.

    Args:
        source: Where the rows come from.
        store: Where the documents are; bound to the same CNPJ.
        cnpj: The laundromat.
        as_of: The run's instant; every age, claim and new timestamp uses it.
        campaign_types: Campaigns to sync even without rows: their pending documents may have to
            be withdrawn.
        max_attempts: Failed attempts after which a document waits for the next cycle.
        suppressed_keys: Reads the keys (`loader.base.persons`) of people who have opted out, also
            those whose opt-out came after the build.
        options: Guards, the dry run, and what to leave out.
        retry: How long to retry a service that does not answer, and the clock.
        interrupts: Takes note of signals once writing begins; before that they end the run.
        on_problem: Called with every row that somebody should look at.
        on_progress: Called with the number of rows taken so far, and the total.

    Raises:
        ConfigurationError: A campaign in the options does not exist.
        RunError: The targets are missing, stale or foreign, or too many would be withdrawn.
        ServiceError: A service does not answer before anything was written.

    """
    began, cpu_began = time.monotonic(), time.process_time()
    options, interrupts = options or SyncOptions(), interrupts or Interrupts()
    retry = retry or Retry(sleep=interrupts.sleep)
    known = frozenset(campaign_types)
    _check_campaigns(options.campaigns, known)
    ledger = Ledger(on_problem)

    def new_writing() -> Writing:
        return Writing(
            store,
            ledger,
            as_of=as_of,
            max_attempts=max_attempts,
            retry=retry,
            interrupts=interrupts,
            is_dry_run=options.is_dry_run,
            limit=options.limit,
        )

    suppressed = Suppressed(frozenset(suppressed_keys()))
    # Before every guard: people who opted out are left alone even if the targets are wrong.
    settled = _pending_of(suppressed, store, options.campaigns or known, as_of, retry)
    if settled:
        _withdraw(settled, ledger, new_writing(), interrupts)
        counted = sum(outcomes[Outcome.WITHDRAWN] for outcomes in ledger.outcomes.values())
        _log.info("%s: %d pending targets of people who opted out withdrawn", cnpj, counted)
    built_at = published_at(source, cnpj, as_of, options.max_age)
    plan = _Plan(cnpj, as_of, built_at, options, ledger, suppressed)
    plan.settled.update(_document_key(*item) for item in settled)
    rows = source.targets(cnpj)
    matches = plan.read_rows(rows)
    for campaign_type in sorted({*(options.campaigns or known), *plan.campaign_types}):
        plan.read_pending(matches, campaign_type, _pending(store, campaign_type, retry))
    matches.forget_keys()
    share = (plan.withdrawal_count, plan.pending_count, options.max_withdraw_percent)
    if is_mass_withdrawal(*share):
        # People who opted out are left alone at once, even if something is wrong with others.
        opted_out = source.opted_out(cnpj)
        urgent = [item for item in plan.withdrawals if _document_key(*item) in opted_out]
        with interrupts.held_back():
            new_writing().run(urgent, ())
        check_withdrawals(*share, opted_out=len(urgent) + len(settled))
    writing = new_writing()
    with interrupts.held_back():
        writing.run(plan.withdrawals, plan.planned_rows(rows, matches, on_progress))
    if writing.stopped is not None:
        plan.ledger.defer_rest()
    return SyncReport(
        cnpj=cnpj,
        as_of=as_of,
        built_at=built_at,
        is_dry_run=options.is_dry_run,
        campaigns=plan.ledger.campaigns(),
        problems=tuple(plan.ledger.problems),
        problem_count=plan.ledger.problem_count,
        stopped=writing.stopped,
        untracked=plan.ledger.untracked,
        documents_read=store.documents_read,
        writes_sent=store.writes_sent,
        seconds=round(time.monotonic() - began, 3),
        cpu_seconds=round(time.process_time() - cpu_began, 3),
    )


def withdraw_suppressed(
    store: DocumentStore,
    *,
    as_of: datetime,
    campaign_types: Collection[str],
    suppressed_keys: Collection[str],
    retry: Retry | None = None,
    interrupts: Interrupts | None = None,
) -> int:
    """Withdraw what is pending for people who opted out, for an hour that cannot sync.

    Args:
        store: Where the documents are; bound to one CNPJ.
        as_of: The run's instant.
        campaign_types: The laundromat's campaigns.
        suppressed_keys: The keys (`loader.base.persons`) of people who have opted out.
        retry: How long to retry a service that does not answer.
        interrupts: Takes note of signals while documents are deleted.

    Returns:
        How many documents were withdrawn.

    Raises:
        ServiceError: Firestore does not answer.
        RunError: It did not take every withdrawal.

    """
    interrupts = interrupts or Interrupts()
    retry = retry or Retry(sleep=interrupts.sleep)
    suppressed = Suppressed(frozenset(suppressed_keys))
    found = _pending_of(suppressed, store, campaign_types, as_of, retry)
    if not found:
        return 0
    ledger = Ledger(lambda _: None)
    writing = Writing(
        store,
        ledger,
        as_of=as_of,
        max_attempts=0,  # No row is decided here.
        retry=retry,
        interrupts=interrupts,
        is_dry_run=False,
        limit=None,
    )
    _withdraw(found, ledger, writing, interrupts)
    if writing.stopped is not None:
        raise RunError(writing.stopped.reason, hint="the next run does the rest")
    return sum(outcomes[Outcome.WITHDRAWN] for outcomes in ledger.outcomes.values())


def _pending_of(
    suppressed: Suppressed,
    store: DocumentStore,
    campaign_types: Iterable[str],
    as_of: datetime,
    retry: Retry,
) -> list[tuple[str, TargetDocument]]:
    """Return the pending documents of suppressed people, with their campaigns."""
    return [
        (campaign_type, document)
        for campaign_type in (sorted(campaign_types) if suppressed.keys else ())
        for part in _pending(store, campaign_type, retry)
        for document in part
        if suppressed.names(document) and must_withdraw(document, as_of=as_of)
    ]


def _withdraw(
    found: Sequence[tuple[str, TargetDocument]],
    ledger: Ledger,
    writing: Writing,
    interrupts: Interrupts,
) -> None:
    for campaign_type, _ in found:
        ledger.add_campaign(campaign_type)
    with interrupts.held_back():
        writing.run(found, ())


def _document_key(campaign_type: str, document: TargetDocument) -> tuple[str, str]:
    return campaign_type, document.customer_id


def _check_campaigns(asked_for: frozenset[str], known: frozenset[str]) -> None:
    unknown = sorted(asked_for - known)
    if unknown:
        message = f"there is no campaign {', '.join(unknown)}"
        raise ConfigurationError(message, hint=f"there are {', '.join(sorted(known))}")


def _pending(
    store: DocumentStore, campaign_type: str, retry: Retry
) -> Iterator[list[TargetDocument]]:
    """Yield a campaign's pending documents in parts."""

    def stream(last: TargetDocument | None) -> Iterator[TargetDocument]:
        return store.pending(campaign_type, after=last.customer_id if last else None)

    documents = resumed(stream, retry)
    while part := list(islice(documents, _PENDING_AT_A_TIME)):
        yield part


@dataclass
class _Plan:
    """The result of the first reading: the rows, the pending documents, the withdrawals."""

    cnpj: Cnpj
    as_of: datetime
    built_at: datetime
    options: SyncOptions
    ledger: Ledger
    suppressed: Suppressed
    settled: set[tuple[str, str]] = field(default_factory=set)
    """Campaign and customer of the documents that were withdrawn before."""
    withdrawals: Withdrawals = field(default_factory=Withdrawals)
    campaign_types: set[str] = field(default_factory=set)
    """Campaigns with rows that may become documents."""
    pending_count: int = 0
    """Pending documents that have not expired."""
    withdrawal_count: int = 0
    """Pending documents that have no row any more."""

    def read_rows(self, rows: Iterable[Sequence[Target]]) -> Matches:
        """Read all rows for the first time."""
        keys = RowKeys()
        for part in rows:
            check_rows(part, self.cnpj, self.built_at)
            states = [self._state(target) for target in part]
            keys.add(part, states)
            for target, state in zip(part, states, strict=True):
                if state is not RowState.NOT_ASKED_FOR:
                    self.ledger.rows_read[target.campaign_type] += 1
        for campaign_type in self.ledger.rows_read:
            self.ledger.add_campaign(campaign_type)
        return keys.matches()

    def _state(self, target: Target) -> RowState:
        if self.options.campaigns and target.campaign_type not in self.options.campaigns:
            return RowState.NOT_ASKED_FOR
        if rejection(target, self.as_of):
            return RowState.REJECTED
        if self.suppressed.names(target):
            return RowState.SUPPRESSED
        self.campaign_types.add(target.campaign_type)
        return RowState.ACCEPTED

    def read_pending(
        self, matches: Matches, campaign_type: str, parts: Iterable[list[TargetDocument]]
    ) -> None:
        """Read a campaign's pending documents and match them with the rows."""
        self.ledger.add_campaign(campaign_type)
        for read in parts:
            # In a dry run, or if withdrawing failed, they are still there.
            part = [
                document
                for document in read
                if _document_key(campaign_type, document) not in self.settled
            ]
            self.pending_count += sum(not is_expired(document, self.as_of) for document in part)
            for document in matches.add(campaign_type, part):
                if must_withdraw(document, as_of=self.as_of):
                    self.withdrawals.add(campaign_type, document)
                    self.withdrawal_count += not is_expired(document, self.as_of)

    def planned_rows(
        self,
        rows: Iterable[Sequence[Target]],
        matches: Matches,
        on_progress: Callable[[int, int], None],
    ) -> Iterator[list[PlannedRow]]:
        """Read all rows again, and yield them in parts with what is known about each."""
        position = 0
        for part in rows:
            if position + len(part) > len(matches):
                break
            states = matches.states(position, len(part))
            documents = matches.documents(position, part)
            for target, state in zip(part, states, strict=True):
                if state == RowState.SUPPRESSED:
                    self.ledger.count(target.campaign_type, target.customer_id, Outcome.SUPPRESSED)
            yield [
                PlannedRow(target, self._reason(target, state) if state else "", document)
                for target, state, document in zip(part, states, documents, strict=True)
                if state not in (RowState.NOT_ASKED_FOR, RowState.SUPPRESSED)
            ]
            position += len(part)
            on_progress(position, len(matches))
        else:
            if position == len(matches):
                return
        message = f"{self.cnpj}_CAMPAIGN.campaign_targets returned other rows when read again"
        raise RunError(message, hint="run the same command again; what was written is counted")

    def _reason(self, target: Target, state: int) -> str:
        if state == RowState.SECOND:
            return "a second row for the same customer"
        return rejection(target, self.as_of)
