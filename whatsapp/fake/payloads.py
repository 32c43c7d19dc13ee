"""The JSON of webhooks (WA/webhooks/reference)."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whatsapp.fake.errors import webhook_error
from whatsapp.fake.phones import without_ninth_digit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from whatsapp.fake.config import Number, Recipient
    from whatsapp.fake.ledger import Message

__all__ = ["Item", "body", "contact", "inbound", "preference", "sign", "status"]


@dataclass(frozen=True)
class Item:
    """One item of a webhook."""

    waba_id: str
    field: str
    number: Number | None = None
    lists: Mapping[str, tuple[Mapping[str, Any], ...]] = dataclasses.field(default_factory=dict)
    """For the fields messages and user_preferences: lists that are joined within a POST."""
    value: Any = None
    """For the other fields: the whole value."""
    at: datetime | None = None


def status(
    message: Message,
    number: Number,
    person: Recipient,
    name: str,
    at: datetime,
    *,
    error_code: int | None = None,
    with_pricing: bool,
    echoes_callback_data: bool,
) -> Item:
    """Return a status of a message.

    Pricing is part of sent, and of one of delivered and read; a failed status has no contacts.
    """
    said: dict[str, Any] = {"id": message.id, "status": name, "timestamp": _seconds(at)}
    if not person.hides_phone:
        said["recipient_id"] = _told(person)
    if person.user_id is not None:
        said["recipient_user_id"] = person.user_id
    if message.callback_data is not None and echoes_callback_data:
        said["biz_opaque_callback_data"] = message.callback_data
    if name == "failed":
        said["errors"] = [webhook_error(131000 if error_code is None else error_code)]
        return Item(message.waba_id, "messages", number, {"statuses": (said,)})
    if with_pricing:
        category = (message.category or "service").lower()
        is_lite = message.endpoint == "marketing_messages"
        said["pricing"] = {
            "billable": message.category is not None,
            "pricing_model": "PMP",
            "type": "regular" if message.category is not None else "free_customer_service",
            "category": "marketing_lite" if is_lite else category,
        }
    people = (contact(person),) if name != "sent" or person.user_id is not None else ()
    lists = {"contacts": people, "statuses": (said,)} if people else {"statuses": (said,)}
    return Item(message.waba_id, "messages", number, lists)


def inbound(
    number: Number, person: Recipient, message_id: str, at: datetime, content: Mapping[str, Any]
) -> Item:
    """Return an inbound message; ``content`` is its type, and the fields of that type."""
    said: dict[str, Any] = {"id": message_id, "timestamp": _seconds(at), **content}
    if not person.hides_phone:
        said["from"] = _told(person)
    if person.user_id is not None:
        said["from_user_id"] = person.user_id
    lists = {"contacts": (contact(person),), "messages": (said,)}
    return Item(number.waba_id, "messages", number, lists)


def preference(number: Number, person: Recipient, value: str, at: datetime) -> Item:
    """Return a person's choice about marketing messages."""
    said: dict[str, Any] = {
        "detail": f"User requested to {value} marketing messages",
        "category": "marketing_messages",
        "value": value,
        "timestamp": int(at.timestamp()),
    }
    if not person.hides_phone:
        said["wa_id"] = _told(person)
    if person.user_id is not None:
        said["user_id"] = person.user_id
    lists = {"contacts": (contact(person),), "user_preferences": (said,)}
    return Item(number.waba_id, "user_preferences", number, lists)


def contact(person: Recipient) -> dict[str, Any]:
    """Return how a webhook names a person."""
    said: dict[str, Any] = {"profile": {"name": person.name}}
    if not person.hides_phone:
        said["wa_id"] = _told(person)
    if person.user_id is not None:
        said["user_id"] = person.user_id
    return said


def body(items: Iterable[Item], *, without_contacts: bool = False) -> bytes:
    """Return the raw body of one POST, with an entry for each account."""
    entries: dict[str, dict[str, Any]] = {}
    joined: dict[tuple[str, str, str], dict[str, Any]] = {}
    for item in items:
        entry = entries.setdefault(item.waba_id, {"id": item.waba_id, "changes": []})
        if item.at is not None:
            entry["time"] = int(item.at.timestamp())
        if item.number is None:
            entry["changes"].append({"value": item.value, "field": item.field})
            continue
        key = (item.waba_id, item.field, item.number.id)
        value = joined.get(key)
        if value is None:
            value = joined[key] = {
                "messaging_product": "whatsapp",
                "metadata": {
                    "display_phone_number": item.number.display_phone_number,
                    "phone_number_id": item.number.id,
                },
            }
            entry["changes"].append({"value": value, "field": item.field})
        for name, said in item.lists.items():
            if name == "contacts" and without_contacts:
                continue
            known = value.setdefault(name, [])
            known.extend(one for one in said if name != "contacts" or one not in known)
    whole = {"object": "whatsapp_business_account", "entry": list(entries.values())}
    return json.dumps(whole, separators=(",", ":")).encode()


def sign(raw: bytes, secret: str) -> str:
    """Return the header X-Hub-Signature-256 (WA/webhooks/create-webhook-endpoint)."""
    return "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()


def _told(person: Recipient) -> str:
    return without_ninth_digit(person.phone) if person.loses_ninth_digit else person.phone


def _seconds(at: datetime) -> str:
    return str(int(at.timestamp()))
