"""Publishes a campaign_targets like a build, but without the seconds that dbt takes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from loader.sync.model import Target
from tests.loader.fakes import make_target
from tests.support import AS_OF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse


def publish(
    warehouse: Warehouse,
    cnpj: Cnpj,
    targets: Sequence[Target],
    *,
    built_at: datetime = AS_OF,
    further: str = "",
) -> None:
    """Write campaign_targets and target_publication in the CNPJ's existing CAMPAIGN dataset."""
    dataset = f"{cnpj}_CAMPAIGN"
    # Without targets, one row that is filtered out defines the columns.
    rows = " union all ".join(
        f"select {_columns(target)}{', ' + further if further else ''}"
        for target in targets or [make_target()]
    )
    warehouse.query(
        f"create or replace table `{dataset}`.`campaign_targets` as "
        f"select * from ({rows}) as row_ where {bool(targets)}",
        doing="publishing targets",
    )
    warehouse.query(
        f"create or replace table `{dataset}`.`target_publication` as "
        f"select '{cnpj}' as cnpj, {_literal(built_at)} as built_at",
        doing="publishing targets",
    )


def publish_many(warehouse: Warehouse, cnpj: Cnpj, count: int) -> None:
    """Publish this many BIRTHDAY rows that differ only in their customer: c1, c2, …"""
    publish(warehouse, cnpj, [make_target("c", cnpj=cnpj)])
    dataset = f"{cnpj}_CAMPAIGN"
    warehouse.query(
        f"create or replace table `{dataset}`.`campaign_targets` as "
        "select one.* replace(concat(one.customer_id, cast(number as string)) as customer_id) "
        f"from `{dataset}`.`campaign_targets` as one, unnest(generate_array(1, {count})) as number",
        doing="publishing targets",
    )


def _columns(target: Target) -> str:
    return ", ".join(f"{_cell(name, getattr(target, name))} as {name}" for name in Target._fields)


def _cell(name: str, value: Any) -> str:
    return f"parse_json({_literal(value)})" if name == "data" else _literal(value)


def _literal(value: Any) -> str:
    if isinstance(value, datetime):
        return f"timestamp '{value.isoformat(sep=' ')}'"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
