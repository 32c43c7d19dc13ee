"""The secret of a laundromat's voucher codes: a SQL function of its dataset that returns a text.

Codes follow from it, so that the same customer has the same code in every hour of a cycle, and
nobody who knows a customer's id can work the code out. Whoever may read {CNPJ}_CAMPAIGN may read
it. A code that was given out stays valid whatever becomes of the key: message_history has it.
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

    It is created by a request and not by a statement: BigQuery lists statements with their text.
    """
    return warehouse.create_function(
        f"{cnpj}_CAMPAIGN",
        VOUCHER_KEY,
        body=f"'{secrets.token_hex(_BYTES)}'",
        description="The secret of this laundromat's voucher codes. Without it, no code is found.",
    )
