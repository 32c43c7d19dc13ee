"""message_history in BigQuery: one MERGE for all news of a laundromat."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from loader.bigquery.literals import timestamp
from loader.bigquery.merging import columns_of, load_and_merge
from loader.messages import HistoryRow
from loader.receipts import EARLIEST, KEPT, OF_FAILURES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse

__all__ = ["merge_history", "merge_statement"]

# How two rows with one key are combined; the same rule as `loader.receipts.merged`.
_MERGE = """
merge `{cnpj}_CAMPAIGN`.`message_history` as history
using (
    select
        *,
        {news_rank} as status_rank
    from `{cnpj}_CAMPAIGN`.`{news}`
) as news
on
    history.campaign_type = news.campaign_type
    and history.user_id = news.user_id
    and history.cycle_key = news.cycle_key
    and history.attempt = news.attempt
    and history.sent_at >= {since}
when matched and (
    {changes}
) then update set
    {values}
when not matched then insert (
    {columns}
) values (
    {news_columns}
)
"""
_RANK = """case upper(trim({status}))
            when 'PENDING' then 0
            when 'FAILED' then 2
            when 'DELIVERED' then 3
            when 'READ' then 4
            else 1
        end"""

# The rank of FAILED; whatever is beyond it has arrived.
_FAILED = 2

_COLUMNS = columns_of(HistoryRow)

# A sender's clock can differ from Firestore's, so rows that are a little older are read, too.
_CLOCK_MARGIN = timedelta(days=2)


def merge_history(
    warehouse: Warehouse, cnpj: Cnpj, rows: Sequence[HistoryRow], *, since: datetime
) -> None:
    """Write news into a laundromat's message_history; known rows stay as they are.

    Args:
        warehouse: Where the table is.
        cnpj: The laundromat.
        rows: At most one for each key.
        since: When the oldest of their documents was created. No row can be older, so older
            partitions are not read.

    """
    load_and_merge(
        warehouse,
        cnpj,
        _COLUMNS,
        rows,
        lambda news: merge_statement(cnpj, since=since, news=news),
        doing=f"writing message_history of {cnpj}",
    )


def merge_statement(cnpj: Cnpj, *, since: datetime, news: str) -> str:
    """Return the statement that merges the rows of a table of {CNPJ}_CAMPAIGN into a history."""
    history_rank = _RANK.format(status="history.status")
    names = [column.name for column in _COLUMNS]
    return _MERGE.format(
        cnpj=cnpj,
        news=news,
        since=timestamp(since - _CLOCK_MARGIN),
        news_rank=_RANK.format(status="status"),
        changes="\n    or ".join(_changes(history_rank)),
        values=",\n    ".join(_values(history_rank)),
        columns=", ".join(names),
        news_columns=", ".join(f"news.{name}" for name in names),
    )


def _changes(history_rank: str) -> list[str]:
    """Return the conditions under which a known row changes."""
    return [
        f"news.status_rank > {history_rank}",
        "news.sent_at < history.sent_at",
        "(news.is_billable and not coalesce(history.is_billable, false))",
        *(
            f"(history.{name} is null and news.{name} is not null)"
            for name in (*KEPT, *EARLIEST, "is_billable")
        ),
        *(
            f"if({_has_arrived(history_rank)}, history.{name} is not null, "
            f"history.{name} is null and news.{name} is not null)"
            for name in OF_FAILURES
        ),
        *(f"news.{name} < history.{name}" for name in EARLIEST),
    ]


def _has_arrived(history_rank: str) -> str:
    return f"greatest(news.status_rank, {history_rank}) > {_FAILED}"


def _values(history_rank: str) -> list[str]:
    """Return the new values of a row that changes."""
    return [
        f"status = if(news.status_rank > {history_rank}, news.status, history.status)",
        "sent_at = least(history.sent_at, news.sent_at)",
        "updated_at = greatest(coalesce(history.updated_at, news.updated_at), news.updated_at)",
        "is_billable = if(news.is_billable, true, coalesce(history.is_billable, news.is_billable))",
        *(f"{name} = coalesce(history.{name}, news.{name})" for name in KEPT),
        *(
            f"{name} = if({_has_arrived(history_rank)}, null, "
            f"coalesce(history.{name}, news.{name}))"
            for name in OF_FAILURES
        ),
        *(
            f"{name} = least(coalesce(history.{name}, news.{name}), "
            f"coalesce(news.{name}, history.{name}))"
            for name in EARLIEST
        ),
    ]
