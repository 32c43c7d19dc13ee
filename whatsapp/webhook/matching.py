"""Finds the attempt of a status or answer, among the laundromats of its number."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from loader.base.persons import phone_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from whatsapp.webhook.directory import Directory, Tenant
    from whatsapp.webhook.items import Person, Receipt
    from whatsapp.webhook.store import Document, WebhookStore

__all__ = ["Matcher"]

_ANSWERED_WITHIN = timedelta(days=7)
# WhatsApp's clock and ours may differ.
_CLOCK_MARGIN = timedelta(minutes=5)


class Matcher:
    """Finds attempts."""

    def __init__(self, store: WebhookStore, directory: Directory, phone_secret: bytes) -> None:
        """Use these; ``phone_secret`` is the key of the phone hashes in ``sends``."""
        self._store, self._directory, self._phone_secret = store, directory, phone_secret

    async def of_receipts(
        self, receipts: Sequence[Receipt]
    ) -> tuple[list[tuple[Document, list[Receipt]]], list[Receipt]]:
        """Return the attempts with their receipts, and the receipts without a known attempt."""
        allowed = {
            number: {tenant.cnpj for tenant in await self._directory.tenants(number)}
            for number in {receipt.number_id for receipt in receipts}
        }
        names = (
            {
                receipt: self._store.path("users", ref.cnpj, "sends", ref.attempt_id)
                for receipt in receipts
                if (ref := receipt.attempt) is not None and ref.cnpj in allowed[receipt.number_id]
            }
            if receipts
            else {}
        )
        by_name = await self._store.get(names.values())
        rest = [receipt for receipt in receipts if names.get(receipt) not in by_name]
        by_message = await self._by_message_id({receipt.message_id for receipt in rest})
        found: dict[str, tuple[Document, list[Receipt]]] = {}
        unknown = []
        for receipt in receipts:
            send = by_name.get(names.get(receipt, ""))
            if send is None:
                candidates = by_message.get(receipt.message_id, [])
                send = _only(
                    [one for one in candidates if one.path[1] in allowed[receipt.number_id]]
                )
            if send is None:
                unknown.append(receipt)
            else:
                found.setdefault(send.name, (send, []))[1].append(receipt)
        return list(found.values()), unknown

    async def answered(self, tenants: Sequence[Tenant], message_id: str) -> Document | None:
        """Return the attempt whose message was answered."""
        cnpjs = {tenant.cnpj for tenant in tenants}
        found = await self._store.sends("messageId", [message_id])
        return _only([send for send in found if send.path[1] in cnpjs])

    async def last_sent(
        self, tenants: Sequence[Tenant], person: Person, at: datetime
    ) -> Document | None:
        """Return the newest attempt for a person in the week before an instant."""
        sent = [
            (began, send.name, send)
            for send in await self.sent_to(tenants, person)
            if isinstance(began := send.fields.get("at"), datetime)
            and at - _ANSWERED_WITHIN <= began <= at + _CLOCK_MARGIN
        ]
        return max(sent, default=(None, None, None))[2]

    async def sent_to(self, tenants: Sequence[Tenant], person: Person) -> list[Document]:
        """Return all attempts for a person, by phone and by user id."""
        cnpjs = {tenant.cnpj for tenant in tenants}
        found: dict[str, Document] = {}
        if person.phone is not None:
            key = phone_key(self._phone_secret, person.phone)
            found |= {send.name: send for send in await self._store.sends("phoneKey", [key])}
        if person.user_id is not None:
            sends = await self._store.sends("userId", [person.user_id])
            found |= {send.name: send for send in sends}
        return [send for send in found.values() if send.path[1] in cnpjs]

    async def _by_message_id(self, message_ids: Iterable[str]) -> dict[str, list[Document]]:
        found: dict[str, list[Document]] = {}
        for send in await self._store.sends("messageId", message_ids):
            found.setdefault(str(send.fields.get("messageId")), []).append(send)
        return found


def _only(sends: list[Document]) -> Document | None:
    """Return the attempt if there is exactly one; several with one message id prove nothing."""
    return sends[0] if len(sends) == 1 else None
