"""What sync does to documents, checked at each write when it takes effect."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from loader.base.persons import person_keys
from loader.sync.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from loader.sync.model import Target
    from loader.sync.report import SyncReport
    from tests.faults.documents import Documents, Found

__all__ = ["NO_WRITE", "Effects"]

NO_WRITE = {
    Outcome.UNCHANGED,
    Outcome.ALREADY_SENT,
    Outcome.EXHAUSTED,
    Outcome.IN_FLIGHT,
    Outcome.REJECTED,
    Outcome.SUPPRESSED,
}
_WRITES = {
    Outcome.CREATED,
    Outcome.REPLACED,
    Outcome.UPDATED,
    Outcome.REQUEUED,
    Outcome.WITHDRAWN,
}


class Effects:
    """The effects of one sync, and of another one that runs into it."""

    def __init__(
        self,
        documents: Documents,
        rows: Sequence[Target],
        *,
        as_of: datetime,
        max_attempts: int,
        require: Callable[[bool, str], None],
    ) -> None:
        """Begin to watch.

        Args:
            documents: Of the laundromat.
            rows: Its campaign_targets, without those that cannot become a document.
            as_of: The instant of the sync.
            max_attempts: Of its settings.
            require: Told whether something holds, and what is broken otherwise.

        """
        self.documents, self._require = documents, require
        self.rows = {(row.campaign_type, row.customer_id): row for row in rows}
        self._as_of, self._max_attempts = as_of, max_attempts
        self._suppressed = documents.suppressed_keys()
        self.counts: Counter[Outcome] = Counter()
        self.deletions = 0
        """By others, while the sync ran."""

    def observe(self, name: str, write: Callable[[], None]) -> None:
        """Do a write of sync, and check what it changes."""
        before = self.documents.get(name)
        write()
        after = self.documents.get(name)
        if before != after:
            self._check(before, after)

    def compare(self, report: SyncReport, *, rejected: int, is_exact: bool) -> None:
        """Check that a report counts what happened.

        Args:
            report: Of the sync.
            rejected: The rows that cannot become a document.
            is_exact: Nothing failed and no other sync ran: all counts are equal.

        """
        told = {outcome: report.total(outcome) for outcome in Outcome}
        read = sum(told.values()) - told[Outcome.WITHDRAWN]
        self._require(read == len(self.rows) + rejected, "the rows do not add up")
        self._require(told[Outcome.REJECTED] == rejected, "an illegal row was not rejected")
        # Without an answer, it is unknown whose deletion it was.
        doubtful = 0 if is_exact else self.deletions
        for outcome in _WRITES:
            written = self.counts[outcome] + doubtful * (outcome is Outcome.WITHDRAWN)
            self._require(
                told[outcome] == written if is_exact else told[outcome] <= written,
                f"{told[outcome]} {outcome} were counted and {written} happened",
            )

    def _check(self, before: Found | None, after: Found | None) -> None:
        found = before or after
        assert found is not None
        key = (found.campaign_type, found.customer_id)
        row = self.rows.get(key)
        outcome = _outcome(before, after, row)
        self.counts[outcome] += 1
        if before is not None:
            until = before.fields.get("claimedUntil")
            is_claimed = until is not None and until > self._as_of
            self._require(not is_claimed, f"{key} was {outcome} under a claim")
        if after is None or row is None or outcome is Outcome.WITHDRAWN:
            self._require(before is not None, f"{key} was {outcome} without row")
            assert before is not None
            self._check_withdrawal(key, before, after, row)
            return
        self._require(not self._is_suppressed(after), f"{key} was {outcome} after an opt-out")
        self._require(
            after.fields.get("status") == "PENDING"
            and after.fields.get("data") == json.loads(row.data)
            and after.fields.get("cycleKey") == row.cycle_key
            and after.fields.get("expiresAt") == row.expires_at,
            f"{key} is not as its row says",
        )
        if outcome in (Outcome.CREATED, Outcome.REPLACED):
            self._require(after.fields.get("attempts") == 0, f"{key} does not begin anew")
            return
        assert before is not None
        status = before.fields["status"]
        self._require(status in ("PENDING", "FAILED"), f"{key} left {status} within its cycle")
        if status == "FAILED":
            self._require(self.may_retry(before), f"{key} was queued again and may not be")
        self._require(not before.is_open, f"{key} was {outcome} with an open attempt")
        kept = ("attempts", "attemptLog", "messageId", "lastError", "createdAt", "note")
        lost = [name for name in kept if before.fields.get(name) != after.fields.get(name)]
        self._require(not lost, f"{key} lost {lost}")

    def _check_withdrawal(
        self, key: tuple[str, str], before: Found, after: Found | None, row: Target | None
    ) -> None:
        status = before.fields["status"]
        # Whoever has opted out is left alone whatever the build said.
        may_go = row is None or _names(self.documents.suppressed_keys(), before)
        self._require(may_go and status == "PENDING", f"{key}, {status}, was withdrawn")
        self._require(not before.is_open, f"{key} was withdrawn with an open attempt")
        attempted = before.fields["attempts"] > 0 or bool(before.fields.get("attemptLog"))
        kept = None
        if attempted:
            updated_at = None if after is None else after.fields["updatedAt"]
            kept = {**before.fields, "status": "FAILED", "updatedAt": updated_at}
        found = None if after is None else after.fields
        self._require(found == kept, f"{key} was withdrawn and is {found}")

    def _is_suppressed(self, found: Found) -> bool:
        """Return whether the person had opted out when the sync began."""
        return _names(self._suppressed, found)

    def may_retry(self, found: Found) -> bool:
        """Return whether a failed document may be queued again."""
        return bool(
            found.fields["lastError"]["recoverable"]
            and found.fields["attempts"] < self._max_attempts
            and found.fields.get("nextAttemptAt", self._as_of) <= self._as_of
        )

    def check_rest(self, campaign_types: Sequence[str]) -> None:
        """Check, after a sync without faults and sender, that nothing is left to do."""
        found = {
            (item.campaign_type, item.customer_id): item
            for item in self.documents.all(campaign_types)
        }
        for key, row in self.rows.items():
            person = person_keys(phone=row.phone, customer_id=row.customer_id)
            if not self._suppressed.isdisjoint(person):
                continue
            self._require(key in found, f"{key} has a row and no document")
            item = found[key]
            is_stale = item.fields["status"] == "PENDING" and not item.is_open
            is_stale &= item.fields["data"] != json.loads(row.data)
            self._require(not is_stale, f"{key} is not as its row says")
            is_waiting = item.fields["status"] == "FAILED" and self.may_retry(item)
            self._require(not is_waiting, f"{key} was not queued again")
        for key, item in found.items():
            is_waiting = item.fields["status"] == "PENDING" and not item.is_open
            self._require(key in self.rows or not is_waiting, f"{key} is PENDING without a row")
            is_unwanted = is_waiting and self._is_suppressed(item)
            self._require(not is_unwanted, f"{key} is PENDING after an opt-out")


def _names(suppressed: set[str], found: Found) -> bool:
    person = person_keys(phone=found.fields["phone"], customer_id=found.customer_id)
    return not suppressed.isdisjoint(person)


def _outcome(before: Found | None, after: Found | None, row: Target | None) -> Outcome:
    if after is None or after.fields["status"] == "FAILED":
        return Outcome.WITHDRAWN
    if before is None:
        return Outcome.CREATED
    if row is not None and before.fields["createdAt"] < row.cycle_start:
        return Outcome.REPLACED
    return Outcome.REQUEUED if before.fields["status"] == "FAILED" else Outcome.UPDATED
