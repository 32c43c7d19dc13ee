"""message_history in BigQuery: one MERGE for all news of a laundromat."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from loader.bigquery.literals import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse
    from loader.messages import HistoryRow

__all__ = ["merge_history", "merge_statement"]

# A query's parameters may take 10 MB (https://cloud.google.com/bigquery/quotas#query_jobs).
_MAX_PARAMETER_BYTES = 8_000_000

# The rows come as a parameter: a table to load them into would be billed as another 10 MiB, and
# would have to be cleaned up after a run that died.
# Statuses move forward only. FAILED comes before DELIVERED: a receipt proves that a message arrived
# although it was reported as failed, and the customer must not get it again.
_MERGE = """
merge `{cnpj}_CAMPAIGN`.`message_history` as history
using (
    select
        json_value(item, '$.user_id') as user_id,
        json_value(item, '$.campaign_type') as campaign_type,
        json_value(item, '$.cycle_key') as cycle_key,
        cast(json_value(item, '$.attempt') as int64) as attempt,
        cast(json_value(item, '$.sent_at') as timestamp) as sent_at,
        json_value(item, '$.status') as status,
        json_value(item, '$.message_content') as message_content,
        json_value(item, '$.phone') as phone,
        json_value(item, '$.message_id') as message_id,
        json_value(item, '$.error_code') as error_code,
        cast(json_value(item, '$.recoverable') as bool) as recoverable,
        cast(json_value(item, '$.delivered_at') as timestamp) as delivered_at,
        cast(json_value(item, '$.read_at') as timestamp) as read_at,
        cast(json_value(item, '$.replied_at') as timestamp) as replied_at,
        cast(json_value(item, '$.updated_at') as timestamp) as updated_at,
        json_value(item, '$.template_variant') as template_variant,
        json_value(item, '$.voucher_code') as voucher_code,
        {news_rank} as status_rank
    from unnest(json_query_array(@items)) as item
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
    statement = merge_statement(cnpj, since=since)
    # Usually one part; several only when the rows take many megabytes.
    for part in _parts(rows):
        warehouse.query(
            statement, doing=f"writing message_history of {cnpj}", parameters={"items": part}
        )


def merge_statement(cnpj: Cnpj, *, since: datetime) -> str:
    """Return the statement that merges ``@items``, rows as a JSON array, into a history."""
    return _MERGE.format(
        cnpj=cnpj,
        since=timestamp(since - _CLOCK_MARGIN),
        news_rank=_RANK.format(status="json_value(item, '$.status')"),
        history_rank=_RANK.format(status="history.status"),
    )


def _parts(rows: Sequence[HistoryRow]) -> Iterator[str]:
    """Yield the rows as JSON arrays that fit into a parameter."""
    part: list[str] = []
    size = 0
    for row in rows:
        item = json.dumps(asdict(row), default=datetime.isoformat, ensure_ascii=False)
        item_bytes = len(item.encode()) + 1
        if part and size + item_bytes > _MAX_PARAMETER_BYTES:
            yield f"[{','.join(part)}]"
            part, size = [], 0
        part.append(item)
        size += item_bytes
    if part:
        yield f"[{','.join(part)}]"
