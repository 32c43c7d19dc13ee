"""Who a person is: every id, cpf and phone under which the two stores know them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loader.base.fields import Fields
from loader.base.persons import person_keys, same_person
from loader.bigquery.declaration import Column
from loader.bigquery.people import PersonRows, TablePlace, any_day

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from loader.bigquery.warehouse import Warehouse
    from loader.dbt.runner import Dbt
    from loader.dbt.spec import BuildSpec
    from loader.firestore.people import FoundDocument, PeopleStore

__all__ = ["KnownPerson", "PersonDocuments", "PersonFinder", "PersonOptOut", "is_document_id"]

# A cpf identifies a person, so other ids with it are the same person's; see docs/rules.md.
_REGISTRATIONS = """
with registrations as (
    select
        id,
        {{ normalize_cpf('cpf') }} as cpf,
        {{ normalize_phone('telefone') }} as phone
    from {{ source('raw', 'clientes') }}
    where trim(coalesce(id, '')) != ''
),

shared as (
    select cpf from registrations
    where cpf is not null
    group by cpf
    having count(distinct id) <= {{ setting('max_customers_per_cpf') }}
),

own as (
    select distinct registrations.cpf
    from registrations
    inner join shared on registrations.cpf = shared.cpf
    where registrations.id = @customer_id
)

select registrations.id, own.cpf, registrations.phone
from registrations
left join own on registrations.cpf = own.cpf
where registrations.id = @customer_id or own.cpf is not null
"""
# A placeholder for the days on which the person was written to.
_DAYS = "(sent_at is not null)"
_MESSAGES = """
select distinct
    {{ normalize_phone('phone') }} as phone,
    message_id,
    whatsapp_user_id
from {{ source('campaign', 'message_history') }}
where user_id in unnest(@ids) and the_days
""".replace("the_days", _DAYS)  # nosec B608 # constants
# A placeholder in the query for the table with what is known, which is created for each use.
_PLACE = "(select '' as kind, '' as value)"
_OPT_OUTS = """
with known as (
    select distinct kind, value from the_place
),

opt_outs as (
    select
        *,
        regexp_extract_all({{ numbers_in_text('phone') }}, r'[^|]*\\d{8}x?') as numbers
    from {{ source('campaign', 'opt_outs') }}
),

numbers as (
    select
        opt_outs.phone as phone_text,
        {{ e164("regexp_extract(number, " ~ mobile_pattern() ~ ")") }} as phone,
        rtrim(number, 'x') as number
    from opt_outs
    cross join unnest(opt_outs.numbers) as number
),

texts as (
    select
        numbers.phone_text,
        string_agg(
            if(known.value is null, coalesce(numbers.phone, numbers.number), null), ' / '
        ) as others,
        string_agg(numbers.phone, ' ') as phones,
        logical_or(known.value is not null) as is_theirs
    from numbers
    left join known on known.kind = 'phone' and numbers.phone = known.value
    group by numbers.phone_text
)

select
    opt_outs.* except (numbers),
    if(texts.is_theirs, texts.others, null) as others,
    texts.phones,
    coalesce(texts.is_theirs, false) as has_their_phone
from opt_outs
left join texts on opt_outs.phone = texts.phone_text
where
    opt_outs.user_id in (select value from known where kind = 'customer')
    or opt_outs.whatsapp_user_id in (select value from known where kind = 'user')
    or texts.is_theirs
""".replace("the_place", _PLACE)  # nosec B608 # constants
_SALES = """
select {{ columns }}
from {{ source('raw', 'vendas') }}
where {{ normalize_cpf('cpfCliente') }} in (select value from the_place)
""".replace("the_place", _PLACE)  # nosec B608 # constants; the columns are declared
_COUNT_CUSTOMERS = "select count(*) as found from `{cnpj}_RAW`.`clientes` where id in unnest(@ids)"
_COLUMNS = (Column("kind", "STRING", ""), Column("value", "STRING", ""))
_MAX_ID_BYTES = 1500
_WITHOUT_NINTH = 12


@dataclass(frozen=True)
class PersonOptOut:
    """A row of opt_outs that names the person."""

    columns: Mapping[str, Any]
    others: str | None
    """The other numbers in the same field; None: the row is about this person only."""
    has_their_phone: bool


@dataclass(frozen=True)
class PersonDocuments:
    """A person's documents, by kind."""

    targets: list[FoundDocument]
    sends: list[FoundDocument]
    suppressions: list[FoundDocument]
    resumptions: list[FoundDocument]
    confirmations: list[FoundDocument]
    unmatched: list[FoundDocument]

    def all(self) -> list[FoundDocument]:
        """Return them in the order in which they are erased; the last ones name the others."""
        return [
            *self.unmatched,
            *self.confirmations,
            *self.resumptions,
            *self.sends,
            *self.targets,
            *self.suppressions,
        ]


@dataclass(frozen=True)
class KnownPerson:
    """One person of one laundromat, with what is known of them."""

    customer_id: str
    """The id that was asked for."""
    ids: tuple[str, ...]
    """It, and other ids with the same cpf."""
    cpfs: tuple[str, ...]
    phones: tuple[str, ...]
    """In E.164, also earlier ones."""
    user_ids: tuple[str, ...]
    """WhatsApp's ids of the person."""
    message_ids: tuple[str, ...]
    messages: Mapping[date, int]
    """Rows of message_history by UTC day."""
    documents: PersonDocuments
    opt_outs: tuple[PersonOptOut, ...]

    def keys(self) -> list[str]:
        """Return the keys of suppressions that name the person."""
        return _keys(self)


class _Known:
    """What has been found so far."""

    def __init__(self, customer_id: str) -> None:
        self.ids = [customer_id]
        self.cpfs: set[str] = set()
        self.phones: set[str] = set()
        self.user_ids: set[str] = set()
        self.message_ids: set[str] = set()

    def learn(self, fields: Fields) -> None:
        """Take over what a document says of the person."""
        for text, found in (
            (fields.text("phone"), self.phones),
            (fields.text("userId"), self.user_ids),
            (fields.text("messageId"), self.message_ids),
        ):
            if text:
                found.add(text)
        for key in fields.texts("keys"):
            kind, _, value = key.partition(":")
            if kind == "phone" and value not in map(same_person, self.phones):
                self.phones.add(_e164(value))
            elif kind == "user":
                self.user_ids.add(value)
        for entry in fields.maps("attemptLog"):
            message_id = entry.text("messageId")
            if message_id:
                self.message_ids.add(message_id)

    def rows(self) -> list[dict[str, str]]:
        """Return it as rows of a table."""
        kinds = {"phone": self.phones, "customer": self.ids, "user": self.user_ids}
        kinds["cpf"] = self.cpfs
        return [{"kind": kind, "value": value} for kind, found in kinds.items() for value in found]


class PersonFinder:
    """Finds people of one laundromat in both stores."""

    def __init__(self, dbt: Dbt, warehouse: Warehouse, store: PeopleStore, spec: BuildSpec) -> None:
        """Use these.

        Args:
            dbt: Resolves the project's macros, which read phones and cpfs.
            warehouse: Holds the tables.
            store: Holds the documents; bound to the same laundromat.
            spec: The laundromat.

        """
        self._dbt = dbt
        self._warehouse = warehouse
        self._store = store
        self._spec = spec

    def find(self, customer_id: str, campaign_types: Iterable[str]) -> KnownPerson:
        """Find a person under all of their ids and phones.

        Args:
            customer_id: As in clientes.id; nothing need be known of it.
            campaign_types: The campaigns that may have documents.

        """
        known = _Known(customer_id)
        for row in self._warehouse.query(
            self._dbt.compile_sql(self._spec, _REGISTRATIONS),
            doing=f"looking for a person in {self._spec.cnpj}_RAW.clientes",
            parameters={"customer_id": customer_id},
        ):
            if row["id"] not in known.ids:
                known.ids.append(row["id"])
            known.cpfs.update(filter(None, [row["cpf"]]))
            known.phones.update(filter(None, [row["phone"]]))
        history = self._history(known.ids)
        for row in self._messages(known.ids, sorted(history)):
            known.phones.update(filter(None, [row["phone"]]))
            known.user_ids.update(filter(None, [row["whatsapp_user_id"]]))
            known.message_ids.update(filter(None, [row["message_id"]]))
        documents = _documents(self._store, known, campaign_types)
        opt_outs = self._opt_outs(known)
        return KnownPerson(
            customer_id,
            tuple(known.ids),
            tuple(sorted(known.cpfs)),
            tuple(sorted(known.phones)),
            tuple(sorted(known.user_ids)),
            tuple(sorted(known.message_ids)),
            history,
            documents,
            tuple(opt_outs),
        )

    def sales(self, person: KnownPerson, columns: str = "*") -> list[dict[str, Any]]:
        """Return columns of the sales with the person's cpfs, or aggregates of them."""
        if not person.cpfs:
            return []
        known = [{"kind": "cpf", "value": cpf} for cpf in person.cpfs]
        sql = _SALES.replace("{{ columns }}", columns)
        return self._with_known(sql, known, "looking for a person's sales")

    def raw_counts(self, person: KnownPerson) -> dict[str, int]:
        """Return how many rows of RAW are the person's, by table."""
        [customers] = self._warehouse.query(
            _COUNT_CUSTOMERS.format(cnpj=self._spec.cnpj),
            doing=f"counting a person's rows in {self._spec.cnpj}_RAW.clientes",
            parameters={"ids": list(person.ids)},
        )
        sales = self.sales(person, "count(*) as found")
        return {"clientes": customers["found"], "vendas": sum(row["found"] for row in sales)}

    def _history(self, ids: Sequence[str]) -> Mapping[date, int]:
        """Return on which days the person was written to; two narrow columns say so."""
        place = TablePlace(
            f"{self._spec.cnpj}_CAMPAIGN", "message_history", "user_id", partition_by="sent_at"
        )
        rows = PersonRows(self._warehouse, self._spec.cnpj, ids)
        return rows.counts([place])[place.name]

    def _messages(self, ids: Sequence[str], days: Sequence[date]) -> list[dict[str, Any]]:
        """Return what the history says of the person, from the partitions of these days."""
        if not days:
            return []
        sql = self._dbt.compile_sql(self._spec, _MESSAGES)
        return self._warehouse.query(
            sql.replace(_DAYS, f"({any_day('sent_at', days)})"),
            doing=f"looking for a person's messages of {self._spec.cnpj}",
            parameters={"ids": ids},
        )

    def _opt_outs(self, known: _Known) -> list[PersonOptOut]:
        doing = f"looking for a person's opt-outs of {self._spec.cnpj}"
        found = []
        for row in self._with_known(_OPT_OUTS, known.rows(), doing):
            others, has_their_phone = row.pop("others"), row.pop("has_their_phone")
            phones = (row.pop("phones") or "").split()
            if others is None:
                # The whole row is about this person.
                known.phones.update(phones)
            found.append(PersonOptOut(row, others, has_their_phone))
        return found

    def _with_known(
        self, sql: str, known: list[dict[str, str]], doing: str
    ) -> list[dict[str, Any]]:
        """Run a query with what is known of a person in a table that exists only during it.

        BigQuery would keep query parameters with the job.
        """
        compiled = self._dbt.compile_sql(self._spec, sql)
        dataset = f"{self._spec.cnpj}_CAMPAIGN"
        with self._warehouse.loaded(dataset, _COLUMNS, known, doing=doing) as table:
            return self._warehouse.query(
                compiled.replace(_PLACE, f"`{dataset}`.`{table}`"), doing=doing
            )


def _e164(digits: str) -> str:
    """Return the phone of a key, which lacks the ninth digit that every mobile has."""
    is_brazilian = digits.startswith("55") and len(digits) == _WITHOUT_NINTH
    return f"+{digits[:4]}9{digits[4:]}" if is_brazilian else f"+{digits}"


def _keys(person: KnownPerson | _Known) -> list[str]:
    return [
        *(key for phone in person.phones for key in person_keys(phone=phone)),
        *(key for id_ in person.ids for key in person_keys(customer_id=id_)),
        *(key for id_ in person.user_ids for key in person_keys(user_id=id_)),
    ]


def is_document_id(text: str) -> bool:
    """Return whether a customer's id can name a document."""
    is_reserved = text in (".", "..") or (text.startswith("__") and text.endswith("__"))
    return not is_reserved and "/" not in text and 0 < len(text.encode()) <= _MAX_ID_BYTES


def _documents(store: PeopleStore, known: _Known, campaign_types: Iterable[str]) -> PersonDocuments:
    ids = list(filter(is_document_id, known.ids))
    targets = store.targets(sorted(campaign_types), ids)
    sends = store.sends(known.ids)
    for document in (*targets, *sends):
        known.learn(Fields(document.fields))
    suppressions = _wishes(store, "suppressions", known)
    for document in suppressions:
        known.learn(Fields(document.fields))
    # An opt-out may name another phone, which has documents of its own.
    suppressions = _wishes(store, "suppressions", known)
    return PersonDocuments(
        targets,
        sends,
        suppressions,
        _wishes(store, "resumptions", known),
        store.confirmations(document.id for document in suppressions),
        store.unmatched(known.message_ids),
    )


def _wishes(store: PeopleStore, collection: str, known: _Known) -> list[FoundDocument]:
    return store.wishes(collection, keys=_keys(known), phones=known.phones, customer_ids=known.ids)
