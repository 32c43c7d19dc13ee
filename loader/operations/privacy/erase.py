"""Erases a person, in an order in which no message goes out in between.

1. Suppressions in Firestore name the person, plainly and by pseudonyms. From then on no sender
   writes to them, and no sync gives them a document.
2. The pseudonyms go into opt_outs, so that no build makes a target of them.
3. Documents are deleted, then rows are deleted or become pseudonymous. What names the others goes
   last: message ids before the documents that have them, the history at the very end.
4. The plain suppression is deleted; the pseudonyms stay.

Each step can be repeated. A run that was killed left the plain suppression of step 1, and the next
run does all steps again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from loader.base.erasures import ERASURES, PSEUDONYM_KEY, mark_keys
from loader.base.errors import ExitCode
from loader.base.fields import Fields
from loader.base.pseudonyms import cpf_pseudonym, is_pseudonym, pseudonym
from loader.bigquery.people import STREAMED, PersonRows, StreamedRowsError
from loader.bigquery.warehouse import TIME_TRAVEL
from loader.bigquery.wishes import merge_opt_outs
from loader.firestore.wire import SERVER_TIME
from loader.operations.privacy.inventory import Erasure
from loader.operations.privacy.opt_outs import erase_opt_outs
from loader.operations.privacy.person import is_document_id
from loader.operations.privacy.places import KnownPlace, known_places
from loader.wishes import OptOutRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse
    from loader.firestore.people import FoundDocument, PeopleStore
    from loader.firestore.suppressions import SuppressionStore
    from loader.operations.privacy.person import KnownPerson

__all__ = [
    "ERASURE",
    "FAIL_SAFE",
    "ErasePlan",
    "EraseReport",
    "Eraser",
    "Erasing",
    "Fate",
    "PlannedTable",
]

ERASURE = "ERASURE"
"""The source of an erasure's suppressions."""
FAIL_SAFE = timedelta(days=7)
"""For how long after BigQuery's time travel Google can still restore what was deleted.

https://cloud.google.com/bigquery/docs/time-travel#fail-safe
"""

# It holds at any instant for which somebody builds: a preview of last month must not copy the
# person again. An earlier instant would be one that cannot be read.
_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)
_UNFINISHED = "erasing-"
_CUSTOMER = "customer:"
# The status of an attempt between its claim and WhatsApp's answer.
_SENDING = "SENDING"
# It says on which phones the person was reached, until everything else is erased.
_LAST = "message_history"

# For the owner of RAW. The cpf is looked up there and not shown.
_RAW_SALES = (
    "update `{cnpj}_RAW`.`vendas` set cpfCliente = null where cpfCliente in "
    "(select cpf from `{cnpj}_RAW`.`clientes` where id in ({ids}))"
)
_RAW_CUSTOMERS = "delete from `{cnpj}_RAW`.`clientes` where id in ({ids})"


class Fate(StrEnum):
    """What becomes of a person's rows in a table, or documents of a collection."""

    DELETED = "deleted"
    PSEUDONYMS = "pseudonyms"
    OF_OTHERS = "of_others"


@dataclass(frozen=True)
class PlannedTable:
    """The person's rows in one table, or documents in one collection."""

    place: str
    count: int
    fate: Fate


@dataclass(frozen=True)
class ErasePlan:
    """What an erasure changes, and what others must erase."""

    cnpj: Cnpj
    pseudonym: str
    customer_ids: int
    """Ids of the person: the one that was asked for, and those with the same cpf."""
    is_known: bool
    """Whether anything is, or was, known of the person."""
    parts: tuple[PlannedTable, ...]
    statements: tuple[str, ...]
    """For the owner of RAW: what they must run."""


@dataclass(frozen=True)
class EraseReport:
    """What an erasure did: the person's receipt."""

    plan: ErasePlan
    is_dry_run: bool
    erased_at: datetime | None = None
    """When everything was erased; None: it was not, see ``pending``."""
    pending: tuple[str, ...] = ()
    """What could not be erased yet, and when to run the same command again."""
    queries: int = 0
    bytes_billed: int = 0
    documents_read: int = 0

    @property
    def copies_end_at(self) -> datetime | None:
        """When BigQuery's own copies of the erased rows end, too."""
        return self.erased_at + TIME_TRAVEL + FAIL_SAFE if self.erased_at else None

    @property
    def exit_code(self) -> int:
        """Return the exit code of the process."""
        return ExitCode.PARTLY_FAILED if self.pending else ExitCode.OK


@dataclass
class Eraser:
    """Erases one person of one laundromat."""

    warehouse: Warehouse
    store: PeopleStore
    suppressions: SuppressionStore
    cnpj: Cnpj
    person: KnownPerson
    key: str
    """The laundromat's key of pseudonyms."""
    campaign_types: Iterable[str]
    now: Callable[[], datetime]
    on_step: Callable[[str], None] = lambda _: None
    """Called before each step; the caller renews its lease there."""
    _held: list[str] = field(default_factory=list)
    """Targets that could not be deleted."""
    _streamed: list[str] = field(default_factory=list)
    """Tables whose rows could not be changed."""
    _found: list[tuple[KnownPlace, list[date]]] = field(default_factory=list)
    """The tables with the days of the person's rows in them, from `plan`."""

    @property
    def pseudonym(self) -> str:
        """Return the pseudonym of the person, as in the audit."""
        return pseudonym(self.key, self.person.customer_id)

    def plan(self, raw_counts: Mapping[str, int]) -> ErasePlan:
        """Return what would be erased.

        Args:
            raw_counts: The person's rows in clientes and vendas.

        """
        places = self._places()
        # The days of the history are known from looking for the person.
        counts = {f"{self.cnpj}_CAMPAIGN.{_LAST}": Counter(self.person.messages)}
        counts |= self._rows().counts(
            [known.place for known in places if known.place.name not in counts]
        )
        self._found = [(known, sorted(counts[known.place.name])) for known in places]
        parts = [
            PlannedTable(
                known.place.name,
                counts[known.place.name].total(),
                Fate.DELETED if known.is_deleted else Fate.PSEUDONYMS,
            )
            for known in places
        ]
        opt_outs = PlannedTable(
            f"{self.cnpj}_CAMPAIGN.opt_outs", len(self._plain_opt_outs()), Fate.PSEUDONYMS
        )
        documents = Counter(
            "/".join(document.path.split("/")[:-1]) for document in self._plain_documents()
        )
        raw = [
            PlannedTable(f"{self.cnpj}_RAW.{table}", count, Fate.OF_OTHERS)
            for table, count in raw_counts.items()
        ]
        planned = (
            *(PlannedTable(path, count, Fate.DELETED) for path, count in documents.items()),
            *parts,
            opt_outs,
            *raw,
        )
        mark = self.store.named("suppressions", self.pseudonym)
        return ErasePlan(
            self.cnpj,
            self.pseudonym,
            len(self.person.ids),
            any(part.count for part in planned) or bool(self.store.documents([mark])),
            planned,
            tuple(self._statements_for_raw(raw_counts)),
        )

    def erase(self, plan: ErasePlan) -> EraseReport:
        """Erase the person, by a plan that was made under the same lease.

        Raises:
            VmhubError: A service does not answer; nobody writes to the person, and the next run of
                the same command finishes the work.

        """
        self.on_step("suppress")
        self._suppress()
        self.on_step("opt out")
        merge_opt_outs(
            self.warehouse, self.cnpj, [self._opt_out_row(mark) for mark in self._marks()]
        )
        self.on_step("documents")
        self._erase_documents()
        self.on_step("tables")
        self._erase_rows()
        self.on_step("opt-outs")
        erase_opt_outs(self.warehouse, self.cnpj, self.person)
        self.on_step("history")
        self._erase_history()
        self.on_step("check")
        self._erase_late_documents()
        pending = (*self._held, *self._streamed)
        if not pending:
            # From now on only pseudonyms are left.
            self.store.delete(self.store.documents([self._unfinished()]))
        return EraseReport(
            plan,
            is_dry_run=False,
            erased_at=None if pending else self.now(),
            pending=pending,
            queries=self.warehouse.queries,
            bytes_billed=self.warehouse.bytes_billed,
            documents_read=self.store.documents_read,
        )

    # Suppressions

    def _marks(self) -> list[str]:
        """Return the pseudonyms of the person."""
        return [
            *(pseudonym(self.key, id_) for id_ in self.person.ids),
            *(cpf_pseudonym(self.key, cpf) for cpf in self.person.cpfs),
            *(pseudonym(self.key, phone) for phone in self.person.phones),
        ]

    def _suppress(self) -> None:
        shared = {
            "source": ERASURE,
            "optedOutAt": _ALWAYS,
            "updatedAt": SERVER_TIME,
            "resumedAt": None,
        }
        marks = {
            mark: {**shared, "keys": mark_keys(mark, self.pseudonym), "customerId": mark}
            for mark in self._marks()
        }
        # For senders that know ids and phones only, until no document is left that they could send.
        plain = {**shared, "keys": self.person.keys(), "customerId": self.person.customer_id}
        key = {"keys": [ERASURES, f"{PSEUDONYM_KEY}{self.key}"], "updatedAt": SERVER_TIME}
        self.suppressions.write({ERASURES: key, **marks, self._unfinished_id(): plain})

    def _opt_out_row(self, mark: str) -> OptOutRow:
        """Return the row that tracking makes of a mark, so that a build at once knows it."""
        return OptOutRow(mark, None, mark, None, _ALWAYS, ERASURE, None)

    def _unfinished_id(self) -> str:
        return f"{_UNFINISHED}{self.pseudonym}"

    def _unfinished(self) -> str:
        return self.store.named("suppressions", self._unfinished_id())

    # Documents

    def _plain_documents(self) -> list[FoundDocument]:
        """Return the person's documents, without the suppressions of the erasure itself."""
        return [
            document
            for document in self.person.documents.all()
            if document.id != self._unfinished_id() and not is_pseudonym(document.id)
        ]

    def _erase_documents(self) -> None:
        targets = {document.name for document in self.person.documents.targets}
        for document in self.person.documents.targets:
            self._erase_target(document)
        self._keep_wishes_of_others()
        self.store.delete(
            document
            for document in self._plain_documents()
            if document.name not in targets and not self._is_under_way(document)
        )

    def _is_under_way(self, document: FoundDocument) -> bool:
        """Return whether a document is of an attempt that a sender is making now."""
        return bool(self._held) and document.fields.get("status") == _SENDING

    def _keep_wishes_of_others(self) -> None:
        """Write opt-outs that also name other customers once more, for those alone.

        A family may share a phone. The id of such a document may show it, so the new one has
        another.
        """
        own = set(self.person.keys())
        kept = {}
        for document in self.person.documents.suppressions:
            others = [
                key
                for key in Fields(document.fields).texts("keys")
                if key.startswith(_CUSTOMER) and key not in own
            ]
            if others and document in self._plain_documents():
                digest = hashlib.sha256(document.id.encode()).hexdigest()[:32]
                named = ("source", "optedOutAt", "resumedAt")
                kept[f"of-others-{digest}"] = {
                    **{name: document.fields.get(name) for name in named},
                    "keys": others,
                    "customerId": others[0].removeprefix(_CUSTOMER),
                    "updatedAt": SERVER_TIME,
                }
        self.suppressions.write(kept)

    def _erase_target(self, document: FoundDocument) -> None:
        claimed_until = Fields(document.fields).instant("claimedUntil")
        now = self.now()
        if claimed_until is not None and now < claimed_until < now + timedelta(days=1):
            # A sender may be about to send or to record its answer; it finds the suppression.
            self._held.append(_wait(f"a sender holds {_collection(document)}", claimed_until))
        elif not self.store.delete_unchanged(document):
            self._held.append(_wait(f"{_collection(document)} was just written", now))

    def _erase_late_documents(self) -> None:
        """Delete targets that somebody has written meanwhile."""
        self._held.clear()
        ids = filter(is_document_id, self.person.ids)
        for document in self.store.targets(sorted(self.campaign_types), ids):
            self._erase_target(document)

    # Tables

    def _places(self) -> list[KnownPlace]:
        return [
            known
            for known in known_places(self.warehouse, self.cnpj)
            if known.declared.erasure is not Erasure.HASHES
        ]

    def _rows(self) -> PersonRows:
        return PersonRows(self.warehouse, self.cnpj, self.person.ids)

    def _plain_opt_outs(self) -> list[Any]:
        return [
            opt_out
            for opt_out in self.person.opt_outs
            if not is_pseudonym(opt_out.columns["user_id"] or "")
        ]

    def _erase_rows(self) -> None:
        for known, days in self._found:
            if known.declared.name != _LAST:
                self._erase_in(known, days)

    def _erase_history(self) -> None:
        for known, days in self._found:
            if known.declared.name == _LAST:
                self._erase_in(known, days)

    def _erase_in(self, known: KnownPlace, days: list[date]) -> None:
        if days and known.is_deleted:
            self._rows().delete(known.place)
        elif days:
            self._make_pseudonymous(self._rows(), known, days)

    def _make_pseudonymous(self, rows: PersonRows, known: KnownPlace, days: list[date]) -> None:
        place = known.place
        if not place.is_streamed:
            rows.make_pseudonymous(place, days)
            return
        try:
            rows.make_pseudonymous(place, days, before=self.now() - STREAMED)
            are_left = bool(rows.counts([place])[place.name])
        except StreamedRowsError:
            are_left = True
        if are_left:
            what = f"BigQuery does not change new rows of {place.name} yet"
            self._streamed.append(_wait(what, self.now() + STREAMED))

    # RAW

    def _statements_for_raw(self, raw_counts: Mapping[str, int]) -> Iterable[str]:
        """Yield what the owner of RAW runs; the cpf is looked up there and not shown."""
        if not any(raw_counts.values()):
            return
        ids = ", ".join(_sql_text(id_) for id_ in self.person.ids)
        if raw_counts.get("vendas"):
            yield _RAW_SALES.format(cnpj=self.cnpj, ids=ids)
        yield _RAW_CUSTOMERS.format(cnpj=self.cnpj, ids=ids)


class Erasing(NamedTuple):
    """An erasure that is ready to begin."""

    eraser: Eraser
    plan: ErasePlan


def _wait(what: str, until: datetime) -> str:
    again = f"{until.astimezone(UTC):%Y-%m-%d %H:%M}Z"
    return f"{what}: run the same command again after {again}"


def _collection(document: FoundDocument) -> str:
    return "/".join(document.path.split("/")[:-1])


def _sql_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
