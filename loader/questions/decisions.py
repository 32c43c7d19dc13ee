"""The decisions of a build about its candidates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse
    from loader.dbt.spec import BuildSpec

__all__ = [
    "Decision",
    "Funnel",
    "funnels",
    "last_build",
    "read_decisions",
]


@dataclass(frozen=True, slots=True)
class Decision:
    """A candidate of a campaign, with the first blocker of the message; None: a target."""

    campaign_type: str
    customer_id: str
    template_variant: str
    first_blocker: str | None


@dataclass(frozen=True)
class Funnel:
    """One campaign of one laundromat: from candidates to targets."""

    campaign_type: str
    candidates: int
    blocked: dict[str, int]
    """Number of candidates by first blocker, largest first."""
    targets: int


def last_build(warehouse: Warehouse, cnpj: Cnpj) -> datetime:
    """Return the instant as of which a laundromat's live tables were built.

    Raises:
        ConfigurationError: They were never built.

    """
    built_at = warehouse.published_at(cnpj)
    if built_at is None:
        message = f"{cnpj}_CAMPAIGN has never been published"
        raise ConfigurationError(message, hint=f"run `vmhub build --cnpj {cnpj}`")
    return built_at


def read_decisions(warehouse: Warehouse, spec: BuildSpec) -> list[Decision]:
    """Return every candidate of a build, ordered by campaign and id."""
    rows = warehouse.query(
        f"""
        select campaign_type, customer_id, template_variant, first_blocker
        from `{spec.table("campaign_decisions")}`
        order by campaign_type, customer_id
        """,  # noqa: S608 # nosec B608 # a CNPJ has been parsed: letters and digits only
        doing=f"reading the decisions of {spec.cnpj}",
    )
    return [Decision(**row) for row in rows]


def funnels(decisions: Iterable[Decision]) -> tuple[Funnel, ...]:
    """Count decisions, a funnel for each campaign that has candidates."""
    by_campaign: dict[str, Counter[str]] = {}
    for decision in decisions:
        counts = by_campaign.setdefault(decision.campaign_type, Counter())
        counts[decision.first_blocker or ""] += 1
    return tuple(
        Funnel(
            campaign_type,
            candidates=counts.total(),
            blocked={
                blocker: count
                for blocker, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
                if blocker
            },
            targets=counts[""],
        )
        for campaign_type, counts in sorted(by_campaign.items())
    )
