"""Unusual rows with the decisions they must lead to, all in one laundromat.

They are built once, on a Monday at 10:00 in São Paulo (`tests.support.AS_OF`). The loyalty window
begins on 23 August at 00:00 there, 03:00 UTC. A case's customers have exactly the decisions that it
lists, and all of them are in customer_facts.
"""

from __future__ import annotations

from collections import Counter

from tests.cases.awkward import AWKWARD_CASES, NAMES
from tests.cases.blanks import BLANK_CASES
from tests.cases.people import PEOPLE_CASES
from tests.cases.rows import Case, Row, born_today, purchases
from tests.cases.tills import TILL_CASES

__all__ = ["CASES", "NAMES", "Case", "all_rows", "rows_of_the_next_day"]

CASES = [*AWKWARD_CASES, *BLANK_CASES, *PEOPLE_CASES, *TILL_CASES]
_used = Counter(name for case in CASES for name in case.customer_ids())
assert max(_used.values()) == 1, "two cases share a customer id"


def all_rows() -> dict[str, list[Row]]:
    """Return the rows of every case by table."""
    tables = ("clientes", "vendas", "message_history", "opt_outs")
    return {table: [row for case in CASES for row in getattr(case, table)] for table in tables}


def rows_of_the_next_day() -> dict[str, list[Row]]:
    """Return rows after the run's instant; if they were read, every customer would change."""
    later = "2026-11-23T13:00:01Z"
    ids = {row["id"]: row for case in CASES for row in case.clientes if (row["id"] or "").strip()}
    return {
        "clientes": [born_today(name, dataCadastro=later, telefone="1") for name in ids],
        "vendas": [
            sale for row in ids.values() for sale in purchases(row["cpf"] or "", 10, last_at=later)
        ],
        "opt_outs": [{"user_id": name, "opted_out_at": later} for name in ids],
    }
