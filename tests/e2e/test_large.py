"""The build of a large laundromat, whose figures are all known beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.large import expected_figures, fill
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, FIRST_BUILD, HOURLY_BUILD, make_laundromat

if TYPE_CHECKING:
    from loader.services import Services

CNPJ = ALPHANUMERIC_CNPJ


def check_figures(services: Services, customers: int) -> None:
    decisions, sums = expected_figures(customers)
    found = services.warehouse.query(
        "select campaign_type, coalesce(first_blocker, 'TARGET') as result, count(*) as customers "
        f"from `{CNPJ}_CAMPAIGN`.`campaign_decisions` group by 1, 2",
        doing="counting decisions",
    )
    assert {(row["campaign_type"], row["result"]): row["customers"] for row in found} == decisions
    [facts] = services.warehouse.query(
        "select count(*) as customers, sum(loyalty_visits) as visits, "
        "cast(sum(loyalty_spent_brl) as float64) as spent, count(last_purchase_on) as buyers "
        f"from `{CNPJ}_CAMPAIGN`.`customer_facts`",
        doing="adding up facts",
    )
    assert facts == sums
    [published] = services.warehouse.query(
        f"select count(*) as targets from `{CNPJ}_CAMPAIGN`.`campaign_targets`",
        doing="counting targets",
    )
    targets = {campaign: n for (campaign, result), n in decisions.items() if result == "TARGET"}
    assert len(targets) == 4, "a campaign has no target: the recipe shows nothing about it"
    assert published["targets"] == sum(targets.values())


def test_every_figure_of_2000_customers_is_as_the_recipe_says(services: Services) -> None:
    make_laundromat(services, CNPJ)
    fill(services.warehouse, CNPJ, 2_000)
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=FIRST_BUILD)
    check_figures(services, 2_000)


@pytest.mark.large
@pytest.mark.timeout(1800)
def test_every_figure_of_200_000_customers_and_2_million_sales_is_as_the_recipe_says(
    services: Services,
) -> None:
    make_laundromat(services, CNPJ)
    fill(services.warehouse, CNPJ, 200_000)
    services.build(
        services.laundromat(CNPJ), as_of=AS_OF, arguments=["--select", "message_templates"]
    )
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=HOURLY_BUILD)
    check_figures(services, 200_000)
