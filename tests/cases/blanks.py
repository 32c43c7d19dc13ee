"""Every column of every source table NULL, empty and blank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loader.dbt.project import find_project
from tests.cases.rows import (
    IN_WINDOW,
    YESTERDAY,
    Case,
    Row,
    birthdays,
    born_today,
    purchases,
    somebody,
)

if TYPE_CHECKING:
    from loader.bigquery.declaration import SourceTable

__all__ = ["BLANK_CASES"]

_TABLES = {table.name: table for table in find_project().source_tables()}


def _blanks(table: SourceTable) -> dict[str, Row]:
    """Return changes of a row, each with a name: each column NULL, and each STRING blank."""
    changes: dict[str, Row] = {}
    for column in table.columns:
        blanks = (None, "", "  ") if column.data_type == "STRING" else (None,)
        for blank in blanks:
            changes[f"{table.name}.{column.name} {blank!r}"] = {column.name: blank}
    return changes


def _blank_customers() -> Case:
    """Each has a birthday today, registered yesterday and is loyal, except for its blank."""
    expected: dict[tuple[str, str], list[str]] = {}
    clientes, vendas = [], []
    for name, change in _blanks(_TABLES["clientes"]).items():
        [column] = change
        row = born_today(name, dataCadastro=YESTERDAY, email="a@example.com", genero="F")
        vendas += purchases(row["cpf"], 10)
        clientes.append({**row, "primeiraCompra": IN_WINDOW, **change})
        if column == "id":
            continue
        blockers = ["INVALID_PHONE"] if column == "telefone" else []
        if column != "dataNascimento":
            expected["BIRTHDAY", name] = blockers
        if column != "dataCadastro":
            expected["WELCOME", name] = blockers
        if column != "cpf":
            expected["LOYALTY", name] = blockers or ["FREQUENCY_CAP"]
    return Case(
        "a blank in a customer removes only what depends on that column", expected, clientes, vendas
    )


def _blank_sales() -> Case:
    """Each customer has nine good purchases and one with a blank."""
    customers = {name: somebody(name) for name in _blanks(_TABLES["vendas"])}
    expected: dict[tuple[str, str], list[str]] = {}
    vendas = []
    for name, change in _blanks(_TABLES["vendas"]).items():
        cpf = customers[name]["cpf"]
        vendas += [*purchases(cpf, 9), *purchases(cpf, 1, **change)]
        if not change.keys() & {"data", "cpfCliente", "status"}:
            expected["LOYALTY", name] = []
    return Case("a sale without its key does not count", expected, list(customers.values()), vendas)


def _blank_messages() -> Case:
    """Each customer was messaged by a row with a blank."""
    changes = _blanks(_TABLES["message_history"])
    message = {
        "campaign_type": "BIRTHDAY",
        "sent_at": IN_WINDOW,
        "status": "SENT",
        "message_content": "Feliz aniversário!",
        "phone": "11900000000",
        "message_id": "wamid.1",
        "attempt": 1,
        "cycle_key": "2026",
        "error_code": "131026",
        "recoverable": True,
        "template_variant": "DEFAULT",
        "voucher_code": "NIVER-1",
        "whatsapp_user_id": "BR.1",
        "price_category": "MARKETING",
        "is_billable": True,
        **dict.fromkeys(("delivered_at", "read_at", "replied_at", "updated_at"), IN_WINDOW),
    }
    assert {"user_id", *message} == {column.name for column in _TABLES["message_history"].columns}
    unseen = {"user_id", "campaign_type", "sent_at"}
    return birthdays(
        "a message without its key is left out and any other blank blocks",
        {
            name: [] if change.keys() & unseen else ["ALREADY_MESSAGED"]
            for name, change in changes.items()
        },
        message_history=[
            {**message, "user_id": name, **change} for name, change in changes.items()
        ],
    )


def _blank_opt_outs() -> Case:
    """Each customer opted out by id and phone, with a blank."""
    changes = _blanks(_TABLES["opt_outs"])
    customers = {name: born_today(name) for name in changes}
    return birthdays(
        "an opt-out holds with every blank",
        {name: ["OPTED_OUT"] for name in changes},
        list(customers.values()),
        opt_outs=[
            {
                "user_id": name,
                "phone": customers[name]["telefone"],
                "opted_out_at": IN_WINDOW,
                "source": "WHATSAPP",
                **change,
            }
            for name, change in changes.items()
        ],
    )


BLANK_CASES = [_blank_customers(), _blank_sales(), _blank_messages(), _blank_opt_outs()]
