"""opt_outs in BigQuery: one MERGE for all new suppressions of a laundromat."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from loader.bigquery.merging import columns_of, load_and_merge
from loader.wishes import OptOutRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse

__all__ = ["merge_opt_outs", "merge_opt_outs_statement"]

# The document decides: after every MERGE its row has the same values. Only the person's columns
# stay, if somebody has completed a row that named nobody.
_MERGE = """
merge `{cnpj}_CAMPAIGN`.`opt_outs` as known
using `{cnpj}_CAMPAIGN`.`{news}` as news
on known.event_id = news.event_id
when matched then update set
    phone = coalesce(news.phone, known.phone),
    user_id = coalesce(news.user_id, known.user_id),
    whatsapp_user_id = coalesce(news.whatsapp_user_id, known.whatsapp_user_id),
    opted_out_at = news.opted_out_at,
    source = news.source,
    resumed_at = news.resumed_at
when not matched then insert (
    {columns}
) values (
    {news_columns}
)
"""
_COLUMNS = columns_of(OptOutRow)


def merge_opt_outs(warehouse: Warehouse, cnpj: Cnpj, rows: Sequence[OptOutRow]) -> None:
    """Update opt_outs from the suppressions; rows from elsewhere stay as they are.

    Args:
        warehouse: Where the table is.
        cnpj: The laundromat.
        rows: At most one per event.

    """
    statement = partial(merge_opt_outs_statement, cnpj)
    doing = f"writing opt_outs of {cnpj}"
    load_and_merge(warehouse, cnpj, _COLUMNS, rows, statement, doing=doing)


def merge_opt_outs_statement(cnpj: Cnpj, news: str) -> str:
    """Return the statement that merges the rows of a table of {CNPJ}_CAMPAIGN into opt_outs."""
    names = [column.name for column in _COLUMNS]
    return _MERGE.format(
        cnpj=cnpj,
        news=news,
        columns=", ".join(names),
        news_columns=", ".join(f"news.{name}" for name in names),
    )
