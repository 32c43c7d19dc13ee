"""Every table and collection, and what is kept there of a person.

tests/loader/operations/test_privacy_inventory.py compares this with what the project declares and
the code writes: a new table, column or collection fails there until it is entered here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "COLLECTIONS",
    "IMPERSONAL_COLUMNS",
    "IMPERSONAL_TABLES",
    "PERSON_TABLES",
    "Collection",
    "Erasure",
    "PersonTable",
]


class Erasure(StrEnum):
    """What becomes of a person's rows or documents when the person is erased."""

    DELETED = "deleted"
    """They are deleted."""
    PSEUDONYMS = "pseudonyms"
    """The customer's id becomes a pseudonym, other personal columns become NULL."""
    HASHES = "hashes"
    """They are deleted, and pseudonyms of the person stay, so that nobody writes to them."""
    OF_OTHERS = "of_others"
    """Others own them: they are told what to erase."""
    NONE = "none"
    """Nothing is kept of customers there."""


@dataclass(frozen=True)
class PersonTable:
    """A table with rows about single customers."""

    dataset_suffix: str
    """RAW, CAMPAIGN or OPS. A table of CAMPAIGN may also be in {CNPJ}_PREVIEW."""
    name: str
    person_column: str
    """Has the customer's id; of vendas, the cpf."""
    erasure: Erasure
    label: str
    """What it holds, in the words of a person's export, in Portuguese."""
    cleared: tuple[str, ...] = ()
    """Columns that become NULL."""
    key: tuple[str, ...] = ()
    """The columns that are the key together with the person's; empty: rows have no key."""
    partition_by: str | None = None
    """Only the partitions with the person's rows are written."""


PERSON_TABLES = (
    PersonTable("RAW", "clientes", "id", Erasure.OF_OTHERS, "Cadastro na lavanderia"),
    PersonTable("RAW", "vendas", "cpfCliente", Erasure.OF_OTHERS, "Compras"),
    PersonTable(
        "CAMPAIGN",
        "message_history",
        "user_id",
        Erasure.PSEUDONYMS,
        "Mensagens enviadas",
        cleared=("message_content", "phone", "message_id", "whatsapp_user_id"),
        key=("campaign_type", "cycle_key", "attempt"),
        partition_by="sent_at",
    ),
    PersonTable(
        "CAMPAIGN", "opt_outs", "user_id", Erasure.HASHES, "Pedidos para não receber mensagens"
    ),
    PersonTable(
        "CAMPAIGN",
        "customer_facts",
        "customer_id",
        Erasure.DELETED,
        "Dados calculados para as campanhas",
    ),
    PersonTable(
        "CAMPAIGN",
        "campaign_decisions",
        "customer_id",
        Erasure.DELETED,
        "Decisões de hoje sobre mensagens",
    ),
    PersonTable(
        "CAMPAIGN",
        "campaign_targets",
        "customer_id",
        Erasure.DELETED,
        "Mensagens previstas para hoje",
    ),
    PersonTable(
        "CAMPAIGN",
        "target_log",
        "customer_id",
        Erasure.PSEUDONYMS,
        "Registro das campanhas em que a pessoa esteve",
        key=("campaign_type", "cycle_key"),
    ),
    PersonTable(
        "CAMPAIGN",
        "messages",
        "customer_id",
        Erasure.PSEUDONYMS,
        "Situação de cada mensagem",
        cleared=("message_id",),
        key=("campaign_type", "message_key"),
        partition_by="sent_at",
    ),
    PersonTable(
        "CAMPAIGN",
        "campaign_conversions",
        "customer_id",
        Erasure.PSEUDONYMS,
        "Compras depois de uma mensagem",
        key=("campaign_type", "message_key"),
    ),
    PersonTable(
        "CAMPAIGN",
        "voucher_redemptions",
        "customer_id",
        Erasure.PSEUDONYMS,
        "Cupons enviados e usados",
    ),
    PersonTable(
        "OPS",
        "sync_rejects",
        "customer_id",
        Erasure.PSEUDONYMS,
        "Mensagens que não puderam ser preparadas",
        partition_by="recorded_at",
    ),
)

IMPERSONAL_TABLES = frozenset(
    {
        # The pseudonyms of audit lead to nobody without the laundromat's key.
        "alerts",
        "audit",
        "campaign_lift",
        "campaign_performance",
        "fleet_runs",
        "message_templates",
        "run_health",
        "runs",
        "send_pauses",
        "send_runs",
        "sync_runs",
        "target_publication",
        "voucher_rates",
        "webhook_events",
        "webhook_rejects",
        "webhook_runs",
        "whatsapp_error_classes",
        "whatsapp_prices",
    }
)

# What a table that outlives a person's erasure may hold. A voucher's code is made with a secret key
# and leads to nobody; the figures count its uses. The texts are those of all messages.
IMPERSONAL_COLUMNS = frozenset(
    # One name a line would be five pages.
    """
    action actor after alert answers as_of attempt attempts before begun_at billed body
    built_at business_date business_number bytes_billed campaign_type candidates category
    changed_at class cnpj code command confirmations cost_brl counts counts_as_attempt
    cpu_seconds cycle_key delivered delivered_at delivery_rate documents_read dropped ended_at
    entry_id error error_class error_code error_rate errors event exit_code failed
    failed_content failed_deferred failed_opted_out failed_runs failed_sender failed_temporary
    failed_unknown failed_unreachable failure_rate first_held_out_at first_held_out_on
    first_purchase_at first_purchase_on first_redeemed_at first_redeemed_on first_seen_at
    first_seen_on first_targeted_at first_targeted_on fleet_run_id given_up happened_at held_out
    held_out_converted held_out_rate hour_at is_billable is_delivered is_failed is_open is_read
    is_replied is_seen_by_build is_used_by_other items jobs key kind language last_blocker
    last_seen_at laundromats lift lift_high lift_low longest_seconds matched_by matched_late
    message message_key money_left oldest_waiting_at open_attempts outcome peak_memory_mib
    people_left people_limit phone_number_id polls portfolio_id price_brl price_category
    problems purchases queries read read_at read_rate reason recorded_at recoverable redeemed
    redemption_rate redemptions replied replied_at reply_rate revenue_brl rows_lost rows_read
    run_id runs seconds sent sent_at sent_on shard started_at status step steps stopped subject
    targets template template_name template_variant treated treated_converted treated_rate
    unknown unpriced until updated_at valid_from variant verdict voucher_code voucher_prefix
    waba_id waiting writes_sent
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Collection:
    """A collection of documents."""

    path: str
    """With ``*`` for ids."""
    erasure: Erasure
    label: str = ""
    """What it holds, in Portuguese."""


COLLECTIONS = (
    Collection("users", Erasure.NONE),
    Collection("users/*/campaigns", Erasure.NONE),
    # The people who work for the laundromat.
    Collection("users/*/members", Erasure.NONE),
    Collection("users/*/operations", Erasure.NONE),
    Collection("users/*/campaigns/*/targets", Erasure.DELETED, "Mensagem da campanha"),
    Collection("users/*/sends", Erasure.DELETED, "Envio de uma mensagem"),
    Collection("users/*/suppressions", Erasure.HASHES, "Pedido para não receber mensagens"),
    Collection("users/*/resumptions", Erasure.DELETED, "Pedido para voltar a receber mensagens"),
    Collection("users/*/confirmations", Erasure.DELETED, "Confirmação de um pedido"),
    Collection("unmatched", Erasure.DELETED, "Recibo do WhatsApp ainda sem mensagem"),
    Collection("portfolios", Erasure.NONE),
    Collection("portfolios/*/news", Erasure.NONE),
    Collection("portfolios/*/operations", Erasure.NONE),
)
