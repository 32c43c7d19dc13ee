"""A laundromat's secrets: SQL functions of {CNPJ}_CAMPAIGN that return a random text.

Voucher codes are made from `VOUCHER_KEY`. So a customer has the same code in every hour of a cycle,
and nobody can work the code out from the customer's id. A code that was sent stays valid even if
the key is lost, since message_history has it.

Pseudonyms of people are made from `PERSON_KEY`; see `loader.base.pseudonyms`.

Everybody who may read {CNPJ}_CAMPAIGN may read the keys.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse

__all__ = ["PERSON_KEY", "SECRET_KEYS", "VOUCHER_KEY", "ensure_keys", "person_key"]

VOUCHER_KEY = "voucher_key"
"""The name of the function whose text voucher codes are made from."""
PERSON_KEY = "person_key"
"""The name of the function whose text pseudonyms are made from."""

SECRET_KEYS = {
    VOUCHER_KEY: "The secret of this laundromat's voucher codes. Without it, no code is found.",
    PERSON_KEY: "The secret of this laundromat's pseudonyms. Without it, nobody is recognized.",
}
"""The functions' descriptions, by name."""
_BYTES = 16


def ensure_keys(warehouse: Warehouse, cnpj: Cnpj) -> tuple[str, ...]:
    """Create the keys that a laundromat does not have yet; return their names.

    They are created by REST requests, since BigQuery keeps the text of SQL statements.
    """
    return tuple(
        name
        for name, description in SECRET_KEYS.items()
        if warehouse.create_function(
            f"{cnpj}_CAMPAIGN",
            name,
            body=f"'{secrets.token_hex(_BYTES)}'",
            description=description,
        )
    )


def person_key(warehouse: Warehouse, cnpj: Cnpj) -> str:
    """Return a laundromat's key of pseudonyms; create it if there is none. Bills no bytes."""
    ensure_keys(warehouse, cnpj)
    [row] = warehouse.query(
        f"select `{cnpj}_CAMPAIGN`.{PERSON_KEY}() as it", doing="reading the key of pseudonyms"
    )
    return str(row["it"])
