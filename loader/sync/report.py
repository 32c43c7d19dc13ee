"""The report of a sync: its figures, and the rows that somebody should look at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.base.errors import ExitCode, RunError
from loader.sync.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from loader.base.cnpj import Cnpj

__all__ = ["CampaignCounts", "Ledger", "Problem", "Stop", "SyncReport"]

_KEPT_PROBLEMS = 100
_REPORTED = frozenset({Outcome.REJECTED, Outcome.FAILED, Outcome.EXHAUSTED})


@dataclass(frozen=True)
class Problem:
    """A row that somebody should look at; it names the customer by id only."""

    campaign_type: str
    customer_id: str
    outcome: Outcome
    """FAILED for a document without a row that could not be withdrawn."""
    reason: str


@dataclass(frozen=True)
class CampaignCounts:
    """One campaign's figures: the outcomes without WITHDRAWN add up to ``rows_read``."""

    campaign_type: str
    rows_read: int
    outcomes: dict[Outcome, int]


@dataclass(frozen=True)
class Stop:
    """Why a run stopped early; it finished and counted everything it had begun."""

    reason: str
    exit_code: int


@dataclass(frozen=True)
class SyncReport:
    """What a run did; for a dry run, what it would do."""

    cnpj: Cnpj
    as_of: datetime
    built_at: datetime
    is_dry_run: bool
    campaigns: tuple[CampaignCounts, ...]
    problems: tuple[Problem, ...]
    """The first problems; VMHUB_OPS.sync_rejects has all."""
    problem_count: int
    stopped: Stop | None
    untracked: int
    """Rows that are in flight only because `vmhub track` has not recorded their older message."""
    documents_read: int
    writes_sent: int
    seconds: float
    cpu_seconds: float
    not_recorded: str = ""
    """Why this run, or some of its problems, are missing in VMHUB_OPS; empty if nothing is."""

    def total(self, *outcomes: Outcome) -> int:
        """Return how often these outcomes occurred in all campaigns."""
        return sum(
            campaign.outcomes.get(outcome, 0) for campaign in self.campaigns for outcome in outcomes
        )

    @property
    def rows_read(self) -> int:
        """Return the rows of all campaigns."""
        return sum(campaign.rows_read for campaign in self.campaigns)

    @property
    def exit_code(self) -> int:
        """Return the exit code of the process; see docs/sync.md."""
        if self.stopped is not None:
            return self.stopped.exit_code
        if self.problem_count > self.total(Outcome.EXHAUSTED):
            is_all = self.rows_read == self.total(Outcome.FAILED, Outcome.REJECTED)
            return ExitCode.FAILED if is_all else ExitCode.PARTLY_FAILED
        return ExitCode.PARTLY_FAILED if self.not_recorded else ExitCode.OK


class Ledger:
    """Counts the rows that are read, and the outcome of each."""

    def __init__(self, on_problem: Callable[[Problem], None]) -> None:
        """Begin at zero; ``on_problem`` gets every problem, but only the first ones are kept."""
        self.rows_read: Counter[str] = Counter()
        self.outcomes: dict[str, Counter[Outcome]] = {}
        self.problems: list[Problem] = []
        self.problem_count = 0
        self.untracked = 0
        self._on_problem = on_problem

    def count(
        self, campaign_type: str, customer_id: str, outcome: Outcome, reason: str = ""
    ) -> None:
        """Count the outcome of a row, or a withdrawn document."""
        self.outcomes[campaign_type][outcome] += 1
        self.untracked += outcome is Outcome.IN_FLIGHT and bool(reason)
        if outcome in _REPORTED:
            self.report(Problem(campaign_type, customer_id, outcome, reason))

    def report(self, problem: Problem) -> None:
        """Report a problem that is not a row's outcome, or is already counted."""
        self.problem_count += 1
        if len(self.problems) < _KEPT_PROBLEMS:
            self.problems.append(problem)
        self._on_problem(problem)

    def add_campaign(self, campaign_type: str) -> None:
        """Include this campaign, even if there is nothing to count."""
        self.outcomes.setdefault(campaign_type, Counter())

    def defer_rest(self) -> None:
        """Count the rows that a stopped run did not reach as deferred."""
        for campaign_type, outcomes in self.outcomes.items():
            outcomes[Outcome.DEFERRED] += self.rows_read[campaign_type] - _of_rows(outcomes)

    def campaigns(self) -> tuple[CampaignCounts, ...]:
        """Return the figures.

        Raises:
            RunError: They do not add up.

        """
        counts = []
        for campaign_type, outcomes in sorted(self.outcomes.items()):
            of_rows, rows_read = _of_rows(outcomes), self.rows_read[campaign_type]
            if of_rows != rows_read or min(outcomes.values(), default=0) < 0:
                message = f"{campaign_type}: {rows_read} rows were read and {of_rows} accounted for"
                raise RunError(message, hint="this is a bug in the loader: report it")
            found = {outcome: outcomes[outcome] for outcome in Outcome if outcomes[outcome]}
            counts.append(CampaignCounts(campaign_type, rows_read, found))
        return tuple(counts)


def _of_rows(outcomes: Counter[Outcome]) -> int:
    return outcomes.total() - outcomes[Outcome.WITHDRAWN]
