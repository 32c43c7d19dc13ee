"""Phones as people write them, read by the same SQL that reads those of customers.

The rule is in macros/customers/normalize_phone.sql and nowhere else: Python asks BigQuery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loader.bigquery.declaration import Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loader.bigquery.warehouse import Warehouse
    from loader.dbt.runner import Dbt
    from loader.dbt.spec import BuildSpec

__all__ = ["PHONES", "read_phones"]

_COLUMNS = (Column("line", "INT64", ""), Column("phone", "STRING", ""))
# A placeholder in the query for the table, which is created for each use.
_PLACE = "(select 0 as line, '' as phone)"
# As in stg_opt_outs, a field may hold several numbers.
PHONES = """
with texts as (
    select line, phone from the_place
),

found as (
    select line, {{ numbers_in_text('phone') }} as numbers
    from texts
)

select
    found.line,
    {{ e164("regexp_extract(number, " ~ mobile_pattern() ~ ")") }} as phone
from found
left join unnest(regexp_extract_all(found.numbers, r'[^|]*\\d{8}x?')) as number
""".replace("the_place", _PLACE)  # nosec B608 # constants
"""The query, with Jinja; it is compiled like a model."""


def read_phones(
    warehouse: Warehouse, dbt: Dbt, spec: BuildSpec, texts: Mapping[int, str]
) -> dict[int, list[str] | None]:
    """Return the phones of each text in E.164; None for a text that cannot be read.

    A text cannot be read if it has no number, or if one of its numbers is not a Brazilian mobile.
    The texts are loaded into a table that exists only during the query, since BigQuery would keep
    query parameters with the job.

    Args:
        warehouse: Where the table is; the dataset is {CNPJ}_CAMPAIGN.
        dbt: Resolves the project's macros.
        spec: The laundromat.
        texts: The texts by line number.

    """
    if not texts:
        return {}
    sql = dbt.compile_sql(spec, PHONES)
    rows = [{"line": line, "phone": text} for line, text in texts.items()]
    doing = "reading phones"
    dataset = f"{spec.cnpj}_CAMPAIGN"
    with warehouse.loaded(dataset, _COLUMNS, rows, doing=doing) as table:
        found = warehouse.query(sql.replace(_PLACE, f"`{dataset}`.`{table}`"), doing=doing)
    phones: dict[int, set[str] | None] = {line: set() for line in texts}
    for row in found:
        known = phones[row["line"]]
        if known is None or row["phone"] is None:
            phones[row["line"]] = None
        else:
            known.add(row["phone"])
    return {line: sorted(known) if known else None for line, known in phones.items()}
