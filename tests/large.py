"""A laundromat of any size with its expected decisions, both from one recipe.

The rows are created inside BigQuery. The expected figures are computed here in plain Python from
the same recipe, independently of the SQL.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import TYPE_CHECKING

from tests.support import AS_OF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse

__all__ = ["expected_figures", "fill"]

# Local midnight three months ago, and the last local midnight, in hours before the instant.
_LOYALTY_HOURS = 92 * 24 + 10
_TODAY_HOURS = 10
_SPANS = (600, 1500, 3000, 6000)


_INSERTS = (
    """
    insert into `{cnpj}_RAW`.`clientes` (id, nome, dataNascimento, cpf, telefone, dataCadastro)
    select
        cast(n as string),
        concat('Pessoa ', cast(n as string)),
        timestamp(date_add(date '1960-01-01', interval mod(n * 37, 20000) day)),
        cast(20000000000 + n as string),
        concat('119', lpad(cast(n as string), 8, '0')),
        timestamp_sub(timestamp '{as_of}', interval mod(n * 13, 1000) hour)
    from unnest(generate_array(1, {customers})) as n
    """,
    """
    insert into `{cnpj}_RAW`.`vendas` (data, cpfCliente, valor, status, cupom)
    select
        timestamp_sub(
            timestamp '{as_of}',
            interval mod(
                n * 7919 + k * 347,
                case mod(n, 4) when 0 then 600 when 1 then 1500 when 2 then 3000 else 6000 end
            ) hour
        ),
        cast(20000000000 + n as string),
        mod(n * k, 50) + 0.5,
        if(mod(n + k, 10) = 0, 'CANCELLED', 'COMPLETED'),
        if(mod(n + k, 97) = 0, 'VOLTA', null)
    from unnest(generate_array(1, {customers})) as n
    cross join unnest(generate_array(0, 15)) as k
    where k < 4 + mod(n, 13)
    """,
    """
    insert into `{cnpj}_CAMPAIGN`.`message_history` (user_id, campaign_type, sent_at, status, phone)
    select
        cast(n as string),
        'LOYALTY',
        timestamp_sub(timestamp '{as_of}', interval mod(n, 200) * 24 hour),
        'SENT',
        concat('119', lpad(cast(n as string), 8, '0'))
    from unnest(generate_array(1, {customers})) as n
    where mod(n, 20) = 0
    """,
    """
    insert into `{cnpj}_CAMPAIGN`.`opt_outs` (phone, opted_out_at)
    select concat('119', lpad(cast(n as string), 8, '0')), timestamp '{as_of}'
    from unnest(generate_array(1, {customers})) as n
    where mod(n, 50) = 0
    """,
)


def fill(warehouse: Warehouse, cnpj: Cnpj, customers: int) -> None:
    """Insert this many customers, about ten sales for each, messages and opt-outs."""
    for insert in _INSERTS:
        sql = insert.format(cnpj=cnpj, as_of=AS_OF.isoformat(sep=" "), customers=customers)
        warehouse.query(sql, doing="filling a large laundromat")


def expected_figures(customers: int) -> tuple[Counter[tuple[str, str]], dict[str, float]]:
    """Return decisions by campaign and first blocker (TARGET: none), and sums of the facts."""
    decisions: Counter[tuple[str, str]] = Counter()
    sums = {"customers": customers, "visits": 0, "spent": 0.0, "buyers": 0}
    for n in range(1, customers + 1):
        sales = list(_completed_sales(n))
        in_window = [amount for hours, amount, _ in sales if hours <= _LOYALTY_HOURS]
        sums["visits"] += len(in_window)
        sums["spent"] += sum(in_window)
        sums["buyers"] += bool(sales)
        decisions.update(_decisions(n, sales, len(in_window)))
    return decisions, sums


def _completed_sales(n: int) -> Iterator[tuple[int, float, bool]]:
    for k in range(4 + n % 13):
        if (n + k) % 10:
            yield (n * 7919 + k * 347) % _SPANS[n % 4], n * k % 50 + 0.5, (n + k) % 97 == 0


def _decisions(
    n: int, sales: list[tuple[int, float, bool]], visits: int
) -> Iterator[tuple[str, str]]:
    born = date(1960, 1, 1) + timedelta(days=n * 37 % 20000)
    has_opted_out = n % 50 == 0
    message_hours = n % 200 * 24 if n % 20 == 0 else None
    is_greeted = False
    for campaign, is_candidate in (
        ("BIRTHDAY", (born.month, born.day) == (11, 23)),
        ("WELCOME", _days_ago(n * 13 % 1000) == 1),
    ):
        if is_candidate:
            is_greeted |= not has_opted_out
            yield campaign, "OPTED_OUT" if has_opted_out else "TARGET"
    is_capped = is_greeted or (message_hours is not None and message_hours <= _TODAY_HOURS)
    loyalty = None
    if visits >= 10:
        loyalty = "FREQUENCY_CAP" if is_capped else "TARGET"
        if message_hours is not None and message_hours <= _LOYALTY_HOURS:
            loyalty = "ALREADY_MESSAGED"
        if has_opted_out:
            loyalty = "OPTED_OUT"
        yield "LOYALTY", loyalty
    if sales and min(_days_ago(hours) for hours, _, _ in sales) > 30:
        used = [_days_ago(hours) for hours, _, has_voucher in sales if has_voucher]
        if has_opted_out:
            yield "REACTIVATION", "OPTED_OUT"
        elif used and min(used) <= 60:
            yield "REACTIVATION", "RECENT_VOUCHER"
        else:
            is_capped |= loyalty == "TARGET"
            yield "REACTIVATION", "FREQUENCY_CAP" if is_capped else "TARGET"


def _days_ago(hours: int) -> int:
    """Return the number of business days before today, at 10:00."""
    return (hours + 13) // 24
