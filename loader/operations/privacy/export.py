"""Everything that is kept of one person, from both stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loader.bigquery.people import PersonRows, TablePlace
from loader.operations.privacy.inventory import COLLECTIONS, PERSON_TABLES, Erasure
from loader.operations.privacy.places import known_places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse
    from loader.firestore.people import FoundDocument
    from loader.operations.privacy.person import KnownPerson, PersonFinder

__all__ = ["ExportedDocument", "ExportedTable", "PersonExport", "export_person"]

_RAW = {table.name: table for table in PERSON_TABLES if table.dataset_suffix == "RAW"}


@dataclass(frozen=True)
class ExportedTable:
    """The person's rows of one table."""

    table: str
    label: str
    """What the table holds, in Portuguese."""
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ExportedDocument:
    """One of the person's documents."""

    path: str
    label: str
    """What it is, in Portuguese."""
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class PersonExport:
    """Everything about a person at one laundromat."""

    cnpj: Cnpj
    customer_id: str
    exported_at: datetime
    customer_ids: tuple[str, ...]
    """All ids of the person: the one that was asked for, and those with the same cpf."""
    phones: tuple[str, ...]
    tables: tuple[ExportedTable, ...]
    documents: tuple[ExportedDocument, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept."""
        return not self.documents and not any(table.rows for table in self.tables)


def export_person(
    finder: PersonFinder, warehouse: Warehouse, cnpj: Cnpj, person: KnownPerson, *, at: datetime
) -> PersonExport:
    """Read everything about a person; tables without a row of theirs are left out.

    Args:
        finder: Finds the person's sales.
        warehouse: Holds the tables.
        cnpj: The laundromat.
        person: From the finder.
        at: The instant of the export.

    """
    rows = PersonRows(warehouse, cnpj, person.ids)
    raw = TablePlace(f"{cnpj}_RAW", "clientes", _RAW["clientes"].person_column)
    tables = [
        ExportedTable(raw.name, _RAW["clientes"].label, rows.rows(raw)),
        ExportedTable(
            f"{cnpj}_RAW.vendas",
            _RAW["vendas"].label,
            finder.sales(person),
        ),
    ]
    for known in known_places(warehouse, cnpj):
        if known.declared.erasure is Erasure.HASHES:
            found = [opt_out.columns for opt_out in person.opt_outs]
        else:
            found = list(rows.rows(known.place))
        tables.append(ExportedTable(known.place.name, known.declared.label, found))
    return PersonExport(
        cnpj,
        person.customer_id,
        at,
        person.ids,
        person.phones,
        tuple(table for table in tables if table.rows),
        tuple(_exported(document) for document in person.documents.all()),
    )


def _exported(document: FoundDocument) -> ExportedDocument:
    parts = document.path.split("/")[:-1]
    path = "/".join("*" if place % 2 else part for place, part in enumerate(parts))
    label = next(item.label for item in COLLECTIONS if item.path == path)
    return ExportedDocument(document.path, label, document.fields)
