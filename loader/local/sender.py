"""A simulated WhatsApp integration: what it does to target documents in one hour.

It uses Google's own client, as the integration does, and follows docs/integration.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import google.auth.credentials
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter

if TYPE_CHECKING:
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.base.environment import Environment

__all__ = ["PlayedMessage", "play_sender"]


@dataclass(frozen=True)
class PlayedMessage:
    """What the sender did with one target."""

    campaign_type: str
    customer_id: str
    status: str


def play_sender(
    environment: Environment, cnpj: Cnpj, *, at: datetime, failing: frozenset[str]
) -> list[PlayedMessage]:
    """Send every pending target of a laundromat, in order of campaign and customer.

    Args:
        environment: The local stack.
        cnpj: The laundromat.
        at: The instant of sending.
        failing: Customer ids whose message fails with a recoverable error.

    """
    client = firestore.Client(
        project=environment.project,
        credentials=google.auth.credentials.AnonymousCredentials(),  # type: ignore[no-untyped-call]
    )
    deliveries = []
    for campaign in client.collection("users", cnpj, "campaigns").list_documents():
        pending = campaign.collection("targets").where(
            filter=FieldFilter("status", "==", "PENDING")
        )
        for target in pending.stream():
            fields = target.to_dict() or {}
            if fields["expiresAt"] <= at:
                continue
            update = _outcome(fields, at, is_failure=target.id in failing)
            target.reference.update(
                update, option=client.write_option(last_update_time=target.update_time)
            )
            deliveries.append(PlayedMessage(campaign.id, target.id, update["status"]))
    return deliveries


def _outcome(fields: dict[str, Any], at: datetime, *, is_failure: bool) -> dict[str, Any]:
    attempt = fields["attempts"] + 1
    error = {"code": "131016", "message": "Service unavailable", "recoverable": True}
    status = "FAILED" if is_failure else "SENT"
    message_id = f"wamid.demo.{fields['campaignType']}.{fields['customerId']}.{attempt}"
    entry = {
        "attempt": attempt,
        "at": at,
        "status": status,
        "messageId": None if is_failure else message_id,
        "error": error if is_failure else None,
    }
    return {
        "status": status,
        "attempts": attempt,
        "attemptLog": firestore.ArrayUnion([entry]),
        "updatedAt": at,
        **(
            {"lastError": error, "nextAttemptAt": at + timedelta(minutes=15)}
            if is_failure
            else {"messageId": message_id}
        ),
    }
