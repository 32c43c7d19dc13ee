"""The class of a case, and helpers for its customers and sales."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

__all__ = [
    "IN_WINDOW",
    "YESTERDAY",
    "Case",
    "Row",
    "birthdays",
    "born_today",
    "purchases",
    "somebody",
]

Row = dict[str, Any]
_numbers = count(1)

YESTERDAY = "2026-11-22T12:00:00Z"
IN_WINDOW = "2026-11-20T12:00:00Z"


@dataclass(frozen=True)
class Case:
    """Rows of the source tables, and the decisions on their customers."""

    shows: str
    expected: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """Blockers by campaign type and customer id; customers without a decision are left out."""
    clientes: list[Row] = field(default_factory=list)
    vendas: list[Row] = field(default_factory=list)
    message_history: list[Row] = field(default_factory=list)
    opt_outs: list[Row] = field(default_factory=list)

    def customer_ids(self) -> set[str]:
        """Return the ids under which the case's customers must be in customer_facts."""
        return {row["id"] for row in self.clientes if (row.get("id") or "").strip()}


def born_today(customer_id: str, **columns: Any) -> Row:
    """Return a customer with a birthday and a phone and a cpf of their own."""
    number = next(_numbers)
    return {
        "id": customer_id,
        "nome": "Ana Exemplo",
        # Not one day for all, as it would be of a till that makes it up.
        "dataNascimento": f"{1930 + number % 90}-11-23T00:00:00Z",
        "telefone": f"119{number:08d}",
        "cpf": f"8{number:010d}",
        "dataCadastro": "2025-01-10T12:00:00Z",
        **columns,
    }


def somebody(customer_id: str, **columns: Any) -> Row:
    """Return a customer who is not a candidate of any campaign."""
    row = born_today(customer_id)
    return {**row, "dataNascimento": row["dataNascimento"].replace("11-23", "03-05"), **columns}


def purchases(cpf: str, number: int, *, last_at: str = IN_WINDOW, **columns: Any) -> list[Row]:
    """Return completed sales at one instant."""
    sale = {"data": last_at, "cpfCliente": cpf, "valor": 20.0, "status": "COMPLETED"}
    return [{**sale, **columns} for _ in range(number)]


def birthdays(
    shows: str, blockers: dict[str, list[str]], rows: list[Row] | None = None, **tables: list[Row]
) -> Case:
    """Return a case of customers whose birthday is today, with their blockers by id."""
    clientes = rows or [born_today(customer_id) for customer_id in blockers]
    expected = {("BIRTHDAY", customer_id): blockers[customer_id] for customer_id in blockers}
    return Case(shows, expected, clientes, **tables)
