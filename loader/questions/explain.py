"""Why a customer did or did not get a campaign's message, from what the last build saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loader.base.errors import ConfigurationError
from loader.base.fields import Fields
from loader.dbt.spec import BuildSpec
from loader.questions.decisions import last_build

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse
    from loader.dbt.runner import Dbt
    from loader.firestore.targets import TargetStore

__all__ = [
    "Blocker",
    "CampaignExplanation",
    "Explainer",
    "Explanation",
    "Trigger",
    "Verdict",
    "explain",
]

# Name, phone and cpf are not read: the decisions depend only on whether they exist.
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
    from `{table}`
    where customer_id = @customer_id
"""
_EXPLANATIONS = """
    select * from {{ ref('campaign_explanations') }}
    where customer_id in unnest(@customer_ids)
"""
# The fields of a document to show. No free text of a sender, and no message id: WhatsApp's ids
# contain the phone in encoded form.
_INSTANTS = (
    "createdAt",
    "updatedAt",
    "expiresAt",
    "claimedUntil",
    "nextAttemptAt",
)


@dataclass(frozen=True)
class Trigger:
    """One condition of a campaign, with the numbers behind it."""

    fact: str
    """What the campaign compares, such as `birthday`."""
    actual: str | None
    """The customer's value; None: unknown, such as for a customer who never bought anything."""
    needed: str
    is_met: bool
    changes_on: date | None
    """The next business day on which time alone can change the answer, if known."""

    @property
    def sentence(self) -> str:
        """The comparison in words, such as `birthday is on 6 April, needed: on 23 November`."""
        return f"{self.fact} is {self.actual or 'unknown'}, needed: {self.needed}"


@dataclass(frozen=True)
class Blocker:
    """A reason not to send the message."""

    name: str
    fact: str
    changes_on: date | None
    """The first business day on which it may be gone, if known."""


@dataclass(frozen=True)
class Verdict:
    """One campaign's verdict on a customer."""

    campaign_type: str
    is_candidate: bool
    """Whether the customer met the trigger at the last build."""
    cycle_key: str | None
    triggers: tuple[Trigger, ...]
    blockers: tuple[Blocker, ...]
    """In the order of the rules; a candidate without any is a target."""

    @property
    def is_current(self) -> bool:
        """Whether the triggers still give the same answer as at the build."""
        return self.is_candidate == all(trigger.is_met for trigger in self.triggers)

    def why_not(self) -> str:
        """Return why the customer is not a target: the first blocker, or the triggers not met."""
        if self.blockers:
            first = self.blockers[0]
            return f"{first.name}: {first.fact}"
        return "not a candidate: " + "; ".join(
            trigger.sentence for trigger in self.triggers if not trigger.is_met
        )


@dataclass(frozen=True)
class CampaignExplanation:
    """One campaign's view of the customer."""

    campaign_type: str
    verdict: Verdict | None
    """None: the campaign is switched off for this laundromat."""
    document: dict[str, Any]
    """The fields that show the state of the Firestore document; empty: there is none."""


@dataclass(frozen=True)
class Explanation:
    """All campaigns' views of one customer."""

    cnpj: Cnpj
    customer_id: str
    built_at: datetime
    """The as-of instant of the facts."""
    is_current: bool
    """False: a setting or the SQL has changed since the build; build again to be sure."""
    facts: dict[str, Any]
    campaigns: tuple[CampaignExplanation, ...]


@dataclass(frozen=True)
class Explainer:
    """Runs the campaigns' own SQL for single customers, on built tables."""

    dbt: Dbt
    warehouse: Warehouse

    def verdicts(
        self, spec: BuildSpec, customer_ids: Sequence[str]
    ) -> dict[tuple[str, str], Verdict]:
        """Return each enabled campaign's verdict on these customers, by campaign and id.

        Args:
            spec: The build that made the tables.
            customer_ids: As in `clientes.id`; unknown ones are left out.

        """
        rows = self.warehouse.query(
            self.dbt.compile_sql(spec, _EXPLANATIONS, with_non_candidates=True),
            doing=f"explaining customers of {spec.cnpj}",
            parameters={"customer_ids": list(customer_ids)},
        )
        enabled = spec.settings["enabled_campaigns"]
        return {
            (row["campaign_type"], row["customer_id"]): _verdict(row)
            for row in rows
            if row["campaign_type"] in enabled
        }


def explain(
    explainer: Explainer,
    store: TargetStore,
    *,
    customer_id: str,
    settings: dict[str, Any],
    campaign_types: Sequence[str],
) -> Explanation:
    """Return each campaign's verdict on a customer at the last build, and the document now.

    Args:
        explainer: Queries the built tables.
        store: Holds the documents; bound to the same CNPJ.
        customer_id: As in `clientes.id`.
        settings: The laundromat's dbt vars, with ``cnpj``.
        campaign_types: The campaigns to look at.

    Raises:
        ConfigurationError: Nothing was built, or the customer was not there.

    """
    cnpj: Cnpj = settings["cnpj"]
    warehouse = explainer.warehouse
    spec = BuildSpec(settings, last_build(warehouse, cnpj))
    found = warehouse.query(
        _FACTS.format(table=spec.table("customer_facts")),
        doing=f"explaining a customer of {cnpj}",
        parameters={"customer_id": customer_id},
    )
    if not found:
        message = f"{cnpj} has no customer '{customer_id}' as of {spec.as_of:%Y-%m-%d %H:%M:%SZ}"
        raise ConfigurationError(
            message, hint="ids are case-sensitive; look into clientes, or build again"
        )
    verdicts = explainer.verdicts(spec, [customer_id])
    return Explanation(
        cnpj,
        customer_id,
        spec.as_of,
        is_current=all(verdict.is_current for verdict in verdicts.values()),
        facts=found[0],
        campaigns=tuple(
            CampaignExplanation(
                campaign_type,
                verdicts.get((campaign_type, customer_id)),
                # A customer without a legal id cannot have a document.
                _document(store, campaign_type, customer_id) if found[0]["has_valid_id"] else {},
            )
            for campaign_type in sorted(campaign_types)
        ),
    )


def _verdict(row: dict[str, Any]) -> Verdict:
    # A campaign need not explain a blocker of its own.
    known = {entry["blocker"]: entry for entry in row["blocker_facts"]}
    unknown = {"fact": "", "changes_on": None}
    return Verdict(
        row["campaign_type"],
        is_candidate=row["is_candidate"],
        cycle_key=row["cycle_key"],
        triggers=tuple(
            # SQL's answer is NULL when the customer's value is: not met.
            Trigger(**{**trigger, "is_met": bool(trigger["is_met"])})
            for trigger in row["triggers"]
        ),
        blockers=tuple(
            Blocker(name, entry["fact"], entry["changes_on"])
            for name in row["blockers"]
            for entry in (known.get(name, unknown),)
        ),
    )


def _document(store: TargetStore, campaign_type: str, customer_id: str) -> dict[str, Any]:
    values = store.fields(campaign_type, customer_id)
    fields = Fields(values)
    error = fields.map("lastError")
    shown = {
        "status": fields.code("status"),
        "attempts": fields.count("attempts"),
        "cycleKey": fields.code("cycleKey"),
        **{name: fields.instant(name) for name in _INSTANTS},
        "lastError.code": error.code("code"),
        "lastError.recoverable": error.flag("recoverable"),
    }
    unreadable = {"unreadable": fields.problems} if fields.problems else {}
    return {name: value for name, value in shown.items() if value is not None} | unreadable
