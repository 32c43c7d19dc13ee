"""What tests of the built tables share: laundromats with rows, and reading results back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import google.auth.credentials
from google.cloud import firestore

from loader.cnpj import Cnpj
from loader.onboard import onboard

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loader.environment import Environment
    from loader.session import Session

NUMERIC_CNPJ = Cnpj("11222333000181")
ALPHANUMERIC_CNPJ = Cnpj("12ABC34501DE35")

# A Monday, 10:00 in São Paulo, late enough in the month for reactivation.
AS_OF = datetime(2026, 11, 23, 13, tzinfo=UTC)


def make_laundromat(
    session: Session,
    cnpj: Cnpj,
    *,
    timezone: str = "America/Sao_Paulo",
    **rows: Iterable[dict[str, Any]],
) -> None:
    """Create a laundromat with its RAW dataset and load rows, by table name.

    A row may leave columns out: they are NULL.
    """
    session.warehouse.create_dataset(f"{cnpj}_RAW", description="Test rows.")
    tables = {table.name: table for table in session.project.source_tables()}
    for table in tables.values():
        if table.dataset_suffix == "RAW":
            session.warehouse.create_table(table, cnpj)
    onboard(
        session.project,
        session.warehouse,
        session.registry,
        cnpj=cnpj,
        name="Lavanderia de Teste",
        timezone=timezone,
    )
    for name, content in rows.items():
        session.warehouse.append(tables[name], cnpj, content)


def decisions(session: Session, cnpj: Cnpj) -> dict[tuple[str, str], dict[str, Any]]:
    """Return campaign_decisions by campaign type and customer id."""
    rows = session.warehouse.query(
        f"select * from `{cnpj}_CAMPAIGN`.`campaign_decisions`", doing="reading decisions"
    )
    return {(row["campaign_type"], row["customer_id"]): row for row in rows}


def official_client(environment: Environment) -> firestore.Client:
    """Return Google's own client, as the WhatsApp integration uses it."""
    return firestore.Client(
        project=environment.project,
        credentials=google.auth.credentials.AnonymousCredentials(),  # type: ignore[no-untyped-call]
    )


def documents(environment: Environment, cnpj: Cnpj) -> dict[tuple[str, str], dict[str, Any]]:
    """Return every target document of a laundromat by campaign type and customer id."""
    campaigns = official_client(environment).collection("users", cnpj, "campaigns")
    return {
        (campaign.id, target.id): target.to_dict() or {}
        for campaign in campaigns.list_documents()
        for target in campaign.collection("targets").stream()
    }
