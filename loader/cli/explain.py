"""`vmhub explain`: why a customer did or did not get each message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from loader.base.cnpj import parse_cnpj
from loader.cli.options import (
    CnpjOption,
    JsonOption,
    open_services,
)
from loader.cli.output import (
    plain,
    print_result,
    result_console,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from loader.base.cnpj import Cnpj
    from loader.questions.explain import Explanation, Verdict
    from loader.services import Services

__all__ = ["explain_command", "explain_customer", "show_explanation"]


def explain_command(
    cnpj: CnpjOption,
    customer: Annotated[str, typer.Option(help="The customer's id, as in clientes.id.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Say why a customer did or did not get each campaign's message, as of the last build.

    Each look is recorded in VMHUB_OPS.audit.

    Example: vmhub explain --cnpj 12ABC34501DE35 --customer 1004
    """
    parsed = parse_cnpj(cnpj)
    explanation = explain_customer(open_services(), parsed, customer)
    print_result(explanation, show_explanation, as_json=as_json)


def explain_customer(services: Services, cnpj: Cnpj, customer_id: str) -> Explanation:
    """Explain a registered laundromat's customer; see `loader.questions.explain`.

    The look is written into the audit log first, also if there is no such customer.
    """
    from loader.bigquery.audit import AuditAction, AuditEntry  # noqa: PLC0415
    from loader.firestore.targets import TargetStore  # noqa: PLC0415
    from loader.questions.explain import Explainer, explain  # noqa: PLC0415

    laundromat = services.laundromat(cnpj)
    subject = f"customer {services.pseudonym(cnpj, customer_id)}"
    audit = services.new_audit_log("vmhub explain")
    audit.record([AuditEntry(AuditAction.LOOK, subject, cnpj)])
    return explain(
        Explainer(services.dbt, services.warehouse.acting_for(cnpj)),
        TargetStore(services.database, cnpj),
        customer_id=customer_id,
        settings=laundromat.settings,
        campaign_types=sorted(laundromat.campaign_types),
    )


def show_explanation(explanation: Explanation) -> None:
    """Print the facts, then each campaign's verdict with its reasons."""
    console = result_console()
    console.print(
        f"Customer {explanation.customer_id} of {explanation.cnpj}, "
        f"as of {explanation.built_at:%Y-%m-%d %H:%M:%SZ}",
        markup=False,
    )
    for name, value in explanation.facts.items():
        console.print(f"  {name}: {'-' if value is None else plain(value)}", markup=False)
    for campaign in explanation.campaigns:
        console.print(f"{campaign.campaign_type}: {_headline(campaign.verdict)}", markup=False)
        for line in _reasons(campaign.verdict) if campaign.verdict else ():
            console.print(f"  {line}", markup=False)
        if campaign.document:
            fields = ", ".join(
                f"{name} {plain(value)}" for name, value in campaign.document.items()
            )
            console.print(f"  document: {fields}", markup=False)
    if not explanation.is_current:
        console.print("A setting or the SQL has changed since the build: build again to be sure.")


def _headline(verdict: Verdict | None) -> str:
    if verdict is None:
        return "switched off for this laundromat"
    if not verdict.is_candidate:
        return "not a candidate"
    held_back = ", held back" if verdict.blockers else ""
    return f"{'candidate' if held_back else 'target'} for cycle {verdict.cycle_key}{held_back}"


def _reasons(verdict: Verdict) -> Iterator[str]:
    for trigger in verdict.triggers:
        mark = "met" if trigger.is_met else "not met"
        yield f"{mark}: {trigger.sentence}{_change_date(trigger.changes_on)}"
    for blocker in verdict.blockers:
        yield f"{blocker.name}: {blocker.fact}{_change_date(blocker.changes_on)}"


def _change_date(day: date | None) -> str:
    return f" (can change on {day})" if day else ""
