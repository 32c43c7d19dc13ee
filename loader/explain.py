"""Why a customer did or did not get a campaign's message, from what the last build saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loader.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from loader.cnpj import Cnpj
    from loader.firestore.targets import TargetStore
    from loader.warehouse import Warehouse

__all__ = ["CampaignExplanation", "Explanation", "explain"]

# Name, phone and cpf stay where they are: whether they are there is all that decides.
_FACTS = """
    select
        registered_on,
        born_on,
        first_purchase_at,
        last_purchase_on,
        last_voucher_on,
        loyalty_visits,
        has_valid_id,
        phone is not null as has_phone,
        cpf is not null as has_cpf,
        has_opted_out,
        coalesce(array_length(messages), 0) as messages
    from `{cnpj}_CAMPAIGN`.`customer_facts`
    where customer_id = @customer_id
"""
_DECISIONS = """
    select
        campaign_type,
        cycle_key,
        blockers,
        messaged_at,
        failed_attempts
    from `{cnpj}_CAMPAIGN`.`campaign_decisions`
    where customer_id = @customer_id
"""
_DOCUMENT_FIELDS = (
    "status",
    "attempts",
    "cycleKey",
    "createdAt",
    "updatedAt",
    "expiresAt",
    "claimedUntil",
    "nextAttemptAt",
    "lastError",
    "messageId",
)


@dataclass(frozen=True)
class CampaignExplanation:
    """One campaign's view of the customer."""

    campaign_type: str
    is_candidate: bool
    """Whether the customer met the trigger at the last build."""
    cycle_key: str | None
    blockers: dict[str, str]
    """Each blocker with the fact behind it, in the order of the rules; empty: a target."""
    document: dict[str, Any]
    """The fields of the Firestore document that say where it stands; empty: there is none."""


@dataclass(frozen=True)
class Explanation:
    """All campaigns' views of one customer."""

    cnpj: Cnpj
    customer_id: str
    built_at: datetime
    """The instant as of which the facts hold."""
    facts: dict[str, Any]
    campaigns: tuple[CampaignExplanation, ...]


def explain(
    warehouse: Warehouse,
    store: TargetStore,
    *,
    cnpj: Cnpj,
    customer_id: str,
    campaign_types: Iterable[str],
) -> Explanation:
    """Return what each campaign made of a customer at the last build, and its document now.

    Args:
        warehouse: Holds the built tables.
        store: Holds the documents; bound to the same CNPJ.
        cnpj: The laundromat.
        customer_id: As in `clientes.id`.
        campaign_types: The campaigns to look at.

    Raises:
        ConfigurationError: Nothing has been built, or no such customer was there.

    """
    parameters = {"customer_id": customer_id}
    doing = f"explaining a customer of {cnpj}"
    built_at = warehouse.published_at(cnpj)
    if built_at is None:
        message = f"{cnpj}_CAMPAIGN has never been published"
        raise ConfigurationError(message, hint=f"run `vmhub build --cnpj {cnpj}`")
    found = warehouse.query(_FACTS.format(cnpj=cnpj), doing=doing, parameters=parameters)
    if not found:
        message = f"{cnpj} has no customer '{customer_id}' as of {built_at:%Y-%m-%d %H:%M:%SZ}"
        raise ConfigurationError(
            message, hint="ids are case-sensitive; look into clientes, or build again"
        )
    facts = found[0]
    decisions = {
        row["campaign_type"]: row
        for row in warehouse.query(_DECISIONS.format(cnpj=cnpj), doing=doing, parameters=parameters)
    }
    return Explanation(
        cnpj,
        customer_id,
        built_at,
        facts,
        tuple(
            _campaign(
                campaign_type,
                decisions.get(campaign_type),
                facts,
                # Without a legal id there can be no document to ask for.
                store.fields(campaign_type, customer_id) if facts["has_valid_id"] else {},
            )
            for campaign_type in sorted({*campaign_types, *decisions})
        ),
    )


def _campaign(
    campaign_type: str,
    decision: dict[str, Any] | None,
    facts: dict[str, Any],
    document: dict[str, Any],
) -> CampaignExplanation:
    blockers = list(decision["blockers"]) if decision else []
    known = {**facts, **(decision or {})}
    return CampaignExplanation(
        campaign_type,
        is_candidate=decision is not None,
        cycle_key=decision["cycle_key"] if decision else None,
        blockers={blocker: _FACT_BEHIND.get(blocker, "").format(**known) for blocker in blockers},
        document={name: document[name] for name in _DOCUMENT_FIELDS if name in document},
    )


_FACT_BEHIND = {
    "INVALID_CUSTOMER_ID": "the id cannot name a Firestore document",
    "INVALID_PHONE": "the phone is no Brazilian mobile",
    "OPTED_OUT": "opted out by id or phone, and did not resume",
    "ALREADY_MESSAGED": "a message of this cycle was sent at {messaged_at:%Y-%m-%d %H:%M} UTC",
    "ATTEMPTS_EXHAUSTED": "{failed_attempts} failed attempts in this cycle",
    "RECENT_VOUCHER": "a voucher was used on {last_voucher_on}",
    "DUPLICATE_PERSON": "another candidate with the same phone or CPF ranks higher",
    "UNANSWERED_LIMIT": "the last reactivation messages brought no purchase",
    "HOLDOUT": "belongs to this year's control group",
    "NOT_IN_ROLLOUT": "the campaign is not rolled out to this customer yet",
    "FREQUENCY_CAP": "another message went out recently or goes out today",
    "OUTSIDE_SEND_WINDOW": "the last build was outside the send window",
}
