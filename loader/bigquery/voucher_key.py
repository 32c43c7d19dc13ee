"""The secret of a laundromat's voucher codes: a SQL function of its dataset that returns a text.

Codes are made from it. So a customer has the same code in every hour of a cycle, and nobody can
work the code out from the customer's id. Everybody who may read {CNPJ}_CAMPAIGN may read the key.
A code that was sent stays valid even if the key is lost, since message_history has it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse

__all__ = ["VOUCHER_KEY", "ensure_voucher_key"]

VOUCHER_KEY = "voucher_key"
"""The function's name, in {CNPJ}_CAMPAIGN."""
_BYTES = 16


def ensure_voucher_key(warehouse: Warehouse, cnpj: Cnpj) -> bool:
    """Create a laundromat's key unless it has one; return whether it is new.

    It is created by a REST request, since BigQuery keeps the text of SQL statements.
    """
    return warehouse.create_function(
        f"{cnpj}_CAMPAIGN",
        VOUCHER_KEY,
        body=f"'{secrets.token_hex(_BYTES)}'",
        description="The secret of this laundromat's voucher codes. Without it, no code is found.",
    )
