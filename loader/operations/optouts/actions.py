"""Adds and ends opt-outs. They are documents in Firestore, which apply at once.

Tracking brings them into BigQuery, for the next build.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loader.base.erasures import ERASURES, key_among, persons_of, pseudonymous_keys
from loader.base.persons import person_keys
from loader.bigquery.audit import AuditAction, AuditEntry
from loader.firestore.wire import SERVER_TIME
from loader.wishes import live_keys, opt_out_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.audit import AuditLog
    from loader.firestore.changes import ChangeReader
    from loader.firestore.suppressions import SuppressionStore

__all__ = ["NamedPerson", "OptOutReport", "opt_in", "opt_out"]


@dataclass(frozen=True)
class NamedPerson:
    """The person of an opt-out: a phone, the laundromat's id of the customer, or both."""

    phone: str | None = None
    """E.164."""
    customer_id: str | None = None

    def keys(self) -> list[str]:
        """Return the person's keys in a suppression."""
        return person_keys(phone=self.phone, customer_id=self.customer_id)


@dataclass(frozen=True)
class OptOutReport:
    """What was done for one laundromat."""

    cnpj: Cnpj
    people: int
    """Number of different people that were named."""
    written: int
    """Suppressions that were written, or would be in a dry run."""
    unchanged: int
    """People who had already opted out."""
    is_dry_run: bool = False


def opt_out(
    reader: ChangeReader,
    store: SuppressionStore,
    cnpj: Cnpj,
    people: Iterable[NamedPerson],
    *,
    source: str,
    at: datetime,
    audit: AuditLog,
    subject: str,
    is_dry_run: bool = False,
) -> OptOutReport:
    """Write a suppression for each person, at most one per source.

    A person who already has a current one from this source keeps it, so a list can be imported
    again.

    Args:
        reader: Reads the existing suppressions.
        store: Writes them; bound to the same laundromat.
        cnpj: The laundromat.
        people: The people; a person who is named twice counts once.
        source: Where the opt-out comes from, such as OPERATOR or PROCON.
        at: When the person opted out.
        audit: Takes one entry before anything is written, also if all had opted out already.
        subject: Who they are in the audit log, by pseudonym.
        is_dry_run: Write nothing.

    """
    holding = {
        document.event_id
        for document in reader.suppressions(None, cnpj)
        if opt_out_row(document)[0].resumed_at is None
    }
    wanted = {_event_id(source, person): person for person in people}
    fresh: dict[str, dict[str, Any]] = {
        event_id: {
            "keys": person.keys(),
            "phone": person.phone,
            "customerId": person.customer_id,
            "source": source,
            "optedOutAt": at,
            "resumedAt": None,
            "updatedAt": SERVER_TIME,
        }
        for event_id, person in wanted.items()
        if event_id not in holding
    }
    if not is_dry_run:
        before = {"opted_out": len(wanted) - len(fresh)}
        after = {"opted_out": len(wanted), "source": source, "opted_out_at": at.isoformat()}
        audit.record([AuditEntry(AuditAction.CHANGE, subject, cnpj, before, after)])
        store.write(fresh)
    return OptOutReport(cnpj, len(wanted), len(fresh), len(wanted) - len(fresh), is_dry_run)


def opt_in(
    reader: ChangeReader,
    store: SuppressionStore,
    cnpj: Cnpj,
    person: NamedPerson,
    *,
    now: datetime,
    audit: AuditLog,
    subject: str,
) -> OptOutReport:
    """End every suppression that names a person, whatever its source, also those of an erasure.

    Args:
        reader: Reads the existing suppressions.
        store: Writes them; bound to the same laundromat.
        cnpj: The laundromat.
        person: The person.
        now: The instant of writing.
        audit: Takes an entry before anything is written; none if there is nothing to end.
        subject: Who it is in the audit log, by pseudonym.

    """
    named = {
        document.event_id: live_keys([document]) for document in reader.suppressions(None, cnpj)
    }
    keys = set(person.keys())
    key = key_among(named.pop(ERASURES, ()))
    if key is not None:
        keys.update(pseudonymous_keys(key, phone=person.phone, customer_id=person.customer_id))
    # An erasure has one for each pseudonym of the person, and all of them end.
    keys |= persons_of({name for found in named.values() if keys & found for name in found})
    ended = {
        event_id: {"resumedAt": now, "updatedAt": SERVER_TIME}
        for event_id, found in named.items()
        if keys & found
    }
    if ended:
        before = {"opt_outs": len(ended)}
        audit.record([AuditEntry(AuditAction.CHANGE, subject, cnpj, before, {"opt_outs": 0})])
        store.write(ended)
    return OptOutReport(cnpj, 1, len(ended), 0)


def _event_id(source: str, person: NamedPerson) -> str:
    """Return the document's id: the same for the same person and source."""
    named: Sequence[str] = person.keys()
    digest = hashlib.sha256("|".join(named).encode()).hexdigest()[:32]
    return f"{source.lower()}-{digest}"
