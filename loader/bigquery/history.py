"""message_history in BigQuery: one MERGE for all news of a laundromat."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, get_args, get_type_hints

from loader.bigquery.declaration import Column
from loader.bigquery.literals import timestamp
from loader.messages import HistoryRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse

__all__ = ["merge_history", "merge_statement"]

# The rows are loaded into a table of their own, which is billed as another 10 MiB. BigQuery would
# keep a query parameter, with people's texts and phones, with the job for six months
# (https://cloud.google.com/bigquery/docs/information-schema-jobs).
# Statuses move forward only. FAILED comes before DELIVERED: a receipt proves that a message arrived
# although it was reported as failed, and the customer must not get it again.
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
    news.status_rank > {history_rank}
    or (history.message_id is null and news.message_id is not null)
    or (history.delivered_at is null and news.delivered_at is not null)
    or (history.read_at is null and news.read_at is not null)
    or (history.replied_at is null and news.replied_at is not null)
) then update set
    status = if(news.status_rank > {history_rank}, news.status, history.status),
    message_id = coalesce(history.message_id, news.message_id),
    error_code = coalesce(history.error_code, news.error_code),
    recoverable = coalesce(history.recoverable, news.recoverable),
    delivered_at = coalesce(history.delivered_at, news.delivered_at),
    read_at = coalesce(history.read_at, news.read_at),
    replied_at = coalesce(history.replied_at, news.replied_at),
    updated_at = news.updated_at
when not matched then insert (
    user_id, campaign_type, cycle_key, attempt, sent_at, status, message_content, phone,
    message_id, error_code, recoverable, delivered_at, read_at, replied_at, updated_at,
    template_variant, voucher_code
) values (
    news.user_id, news.campaign_type, news.cycle_key, news.attempt, news.sent_at, news.status,
    news.message_content, news.phone, news.message_id, news.error_code, news.recoverable,
    news.delivered_at, news.read_at, news.replied_at, news.updated_at, news.template_variant,
    news.voucher_code
)
"""
_RANK = """case upper(trim({status}))
            when 'PENDING' then 0
            when 'FAILED' then 2
            when 'DELIVERED' then 3
            when 'READ' then 4
            else 1
        end"""

_TYPES = {str: "STRING", int: "INT64", bool: "BOOL", datetime: "TIMESTAMP"}
# The columns of the loaded rows: those of a HistoryRow, whose types are `T` or `T | None`.
_COLUMNS = tuple(
    Column(name, _TYPES[(get_args(annotation) or (annotation,))[0]], "")
    for name, annotation in get_type_hints(HistoryRow).items()
)

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
    items = [json.loads(json.dumps(asdict(row), default=datetime.isoformat)) for row in rows]
    doing = f"writing message_history of {cnpj}"
    with warehouse.loaded(f"{cnpj}_CAMPAIGN", _COLUMNS, items, doing=doing) as news:
        warehouse.query(merge_statement(cnpj, since=since, news=news), doing=doing)


def merge_statement(cnpj: Cnpj, *, since: datetime, news: str) -> str:
    """Return the statement that merges the rows of a table of {CNPJ}_CAMPAIGN into a history."""
    return _MERGE.format(
        cnpj=cnpj,
        news=news,
        since=timestamp(since - _CLOCK_MARGIN),
        news_rank=_RANK.format(status="status"),
        history_rank=_RANK.format(status="history.status"),
    )
