"""Checks of rows and documents: how fresh they are, and whether a sender is alive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from loader.bigquery.literals import timestamp
from loader.operations.check.checklist import Finding
from loader.operations.check.tables import BIGQUERY, FIRESTORE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse
    from loader.firestore.firestore_probe import FirestoreProbe, Traces
    from loader.operations.check.checklist import Check, Checklist

__all__ = ["RowChecks", "newest_sale_statement", "newest_sign_statement"]

# How far back to look for data that should be hours old; limits what a query reads.
_SALES_LOOKBACK = timedelta(days=31)
_HISTORY_LOOKBACK = timedelta(days=90)
# A sender takes new targets within minutes.
_PATIENCE = timedelta(minutes=15)
# The default --max-age of `vmhub sync`.
_BUILD_AGE = timedelta(hours=2)

_NEWEST_REGISTRATION = """
select max(dataCadastro) as newest
from `{cnpj}_RAW`.`clientes`
where dataCadastro <= {until}
"""
_NEWEST_SALE = """
select max(data) as newest
from `{cnpj}_RAW`.`vendas`
where data >= {since} and data <= {until}
"""
# A sync sets updated_at, too, but never for a message that was sent.
_NEWEST_SIGN = """
select max(instant) as newest
from (
    select
        sent_at,
        delivered_at,
        read_at,
        replied_at,
        if(upper(trim(status)) in ('PENDING', 'FAILED'), null, updated_at) as sent_and_updated_at
    from `{cnpj}_CAMPAIGN`.`message_history`
    where sent_at >= {since} and sent_at <= {until}
) as attempts,
unnest([sent_at, delivered_at, read_at, replied_at, sent_and_updated_at]) as instant
where instant <= {until}
"""


def newest_sale_statement(cnpj: Cnpj, *, since: datetime, until: datetime) -> str:
    """Return the query for the newest sale between two instants; it reads only those days."""
    return _NEWEST_SALE.format(cnpj=cnpj, since=timestamp(since), until=timestamp(until))


def newest_sign_statement(cnpj: Cnpj, *, since: datetime, until: datetime) -> str:
    """Return the query for a sender's newest sign in message_history between two instants."""
    return _NEWEST_SIGN.format(cnpj=cnpj, since=timestamp(since), until=timestamp(until))


@dataclass(frozen=True)
class RowChecks:
    """The checks of one laundromat's rows and documents at an instant."""

    checklist: Checklist
    warehouse: Warehouse
    probe: FirestoreProbe
    cnpj: Cnpj
    as_of: datetime

    def newest_sale(self, sales: Check, max_age: timedelta) -> None:
        """Check how old the newest sale is."""
        lookback = max(_SALES_LOOKBACK, max_age)
        sql = newest_sale_statement(self.cnpj, since=self.as_of - lookback, until=self.as_of)

        def attempt() -> Finding:
            newest = self._newest(sql, f"reading {sales.about}")
            fix = "look at the point-of-sale export: it does not write RAW any more"
            if newest is None:
                return Finding(f"none within {lookback.days} days", fix, {"newest": None})
            is_old = self.as_of - newest > max_age
            return self._aged(newest, fix if is_old else "")

        self._bigquery("newest sale", sales.about, attempt, sales)

    def newest_registration(self, customers: Check) -> None:
        """Check that somebody is registered, and say how old the newest registration is."""
        sql = _NEWEST_REGISTRATION.format(cnpj=self.cnpj, until=timestamp(self.as_of))

        def attempt() -> Finding:
            newest = self._newest(sql, f"reading {customers.about}")
            if newest is None:
                fix = "look at the point-of-sale export: nobody would get a message"
                return Finding("none", fix, {"newest": None})
            return self._aged(newest)

        self._bigquery("newest registration", customers.about, attempt, customers)

    def sender(
        self, campaign_types: Iterable[str], history: Check, full_at: datetime | None
    ) -> None:
        """Check when a sender was last active, and whether targets wait without one.

        Args:
            campaign_types: The campaigns to look at.
            history: The check of message_history.
            full_at: Firestore's time of the last `vmhub track --full`, if any.

        """
        types = sorted(campaign_types)
        since = self.as_of - _HISTORY_LOOKBACK
        sql = newest_sign_statement(self.cnpj, since=since, until=self.as_of)
        place = f"users/{self.cnpj}"

        @cache
        def traces() -> Traces:
            return self.probe.traces(types, self.as_of, full_at)

        @cache
        def last_sign() -> datetime | None:
            in_documents = traces().last_sign
            # Without a history, only the documents can show it.
            in_history = (
                self._newest(sql, f"reading {history.about}") if history.has_passed else None
            )
            return max(filter(None, (in_documents, in_history)), default=None)

        def life() -> Finding:
            newest = last_sign()
            if newest is None:
                fix = "start the WhatsApp integration; docs/integration.md is for who writes it"
                return Finding(f"none within {_HISTORY_LOOKBACK.days} days", fix, {"newest": None})
            finding = self._aged(newest)
            misdated = traces().misdated
            if not misdated:
                return finding
            return Finding(
                f"{finding.found}; {misdated} messages may be missing in message_history: their "
                "updatedAt is earlier than their last write",
                "let the sender write Firestore's time (docs/integration.md), then run "
                f"`vmhub track --cnpj {self.cnpj} --full`",
                {**finding.figures, "misdated": misdated},
            )

        def queue() -> Finding:
            waiting = self.probe.queue(types, self.as_of)
            figures = {
                "pending": waiting.pending,
                "claimed": waiting.claimed,
                "waiting_since": waiting.waiting_since,
            }
            since, newest = waiting.waiting_since, last_sign()
            found = f"{waiting.pending} pending, {waiting.claimed} of them claimed"
            if since is None or waiting.claimed:
                return Finding(found, figures=figures)
            found = f"{found}, the oldest since {since:%Y-%m-%d %H:%M:%SZ}"
            patient_until = max(filter(None, (since, newest))) + _PATIENCE
            fix = "" if self.as_of < patient_until else "start the WhatsApp integration"
            return Finding(found, fix, figures)

        life_check = self.checklist.add("sender", place, life, service=FIRESTORE)
        self.checklist.add("pending targets", place, queue, service=FIRESTORE, needs=[life_check])

    def last_build(self, dataset: Check) -> None:
        """Check the age of the targets that a sync would write."""

        def attempt() -> Finding:
            built_at = self.warehouse.published_at(self.cnpj)
            fix = f"run `vmhub build --cnpj {self.cnpj}`; a sync refuses older targets"
            if built_at is None:
                return Finding("nothing was published yet", fix, {"newest": None})
            is_old = self.as_of - built_at > _BUILD_AGE
            return self._aged(built_at, fix if is_old else "")

        self._bigquery("last build", f"{dataset.about}.campaign_targets", attempt, dataset)

    def _bigquery(
        self, name: str, about: str, attempt: Callable[[], Finding], *needs: Check
    ) -> Check:
        return self.checklist.add(name, about, attempt, service=BIGQUERY, needs=needs)

    def _newest(self, sql: str, doing: str) -> datetime | None:
        [row] = self.warehouse.query(sql, doing=doing)
        newest: datetime | None = row["newest"]
        return newest

    def _aged(self, instant: datetime, fix: str = "") -> Finding:
        age = max(self.as_of - instant, timedelta())
        figures = {"newest": instant, "age_hours": round(age / timedelta(hours=1), 1)}
        return Finding(f"{instant:%Y-%m-%d %H:%M:%SZ}, {_age_in_words(age)} ago", fix, figures)


def _age_in_words(age: timedelta) -> str:
    minutes = age // timedelta(minutes=1)
    hours, days = minutes // 60, minutes // (24 * 60)
    if days > 1:
        return f"{days} days"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
