"""The report's four queries, limited to the days of the period."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.report.figures import Rows
from loader.base.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from console.report.figures import Period
    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse

__all__ = ["read_rows"]

_PERFORMANCE = """
    select
        campaign_type,
        template_variant,
        business_date,
        candidates,
        held_out,
        targets,
        attempts,
        sent,
        delivered,
        read,
        replied,
        failed,
        failed_temporary,
        failed_deferred,
        failed_opted_out,
        failed_unreachable,
        failed_content,
        failed_sender,
        failed_unknown,
        billed,
        unpriced,
        cost_brl
    from `{dataset}`.`campaign_performance`
    where business_date between cast(@first_on as date) and cast(@last_on as date)
"""
# By the day of the message, so that purchases appear with the messages they are credited to.
_CONVERSIONS = """
    select
        campaign_type,
        template_variant,
        count(*) as converted,
        sum(purchases) as purchases,
        sum(revenue_brl) as revenue_brl
    from `{dataset}`.`campaign_conversions`
    where sent_on between cast(@first_on as date) and cast(@last_on as date)
    group by campaign_type, template_variant
"""
# Not from voucher_rates, which has no days.
_VOUCHERS = """
    select
        campaign_type,
        template_variant,
        countif(sent_on is not null) as vouchers_sent,
        countif(sent_on is not null and redemptions > 0) as vouchers_redeemed,
        sum(if(sent_on is not null, revenue_brl, 0)) as voucher_revenue_brl,
        countif(sent_on is null and redemptions > 0) as vouchers_untraced,
        sum(if(sent_on is null, revenue_brl, 0)) as untraced_revenue_brl
    from `{dataset}`.`voucher_redemptions`
    where
        sent_on between cast(@first_on as date) and cast(@last_on as date)
        or (
            sent_on is null
            and first_redeemed_on between cast(@first_on as date) and cast(@last_on as date)
        )
    group by campaign_type, template_variant
"""
_LIFT = """
    select
        campaign_type,
        treated,
        treated_converted,
        held_out,
        held_out_converted,
        treated_rate,
        held_out_rate,
        lift_low,
        lift_high,
        verdict
    from `{dataset}`.`campaign_lift`
"""


def read_rows(warehouse: Warehouse, cnpj: Cnpj, period: Period) -> Rows:
    """Return the rows of a laundromat's figures.

    Raises:
        ConfigurationError: A table is missing: the figures were never built.

    """
    parameters = {
        "first_on": period.first_on.isoformat(),
        "last_on": period.last_on.isoformat(),
    }
    try:
        return Rows(
            *(
                warehouse.query(
                    sql.format(dataset=f"{cnpj}_CAMPAIGN"),
                    doing=f"reading the figures of {cnpj}",
                    parameters=parameters if "@" in sql else None,
                )
                for sql in (_PERFORMANCE, _CONVERSIONS, _VOUCHERS, _LIFT)
            )
        )
    except NotFoundError as error:
        message = f"{cnpj}_CAMPAIGN lacks tables of figures"
        raise ConfigurationError(
            message, hint=f"run `vmhub build --cnpj {cnpj} --selector daily`"
        ) from error
