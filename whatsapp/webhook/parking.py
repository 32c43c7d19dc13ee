"""Receipts without a known attempt: kept for eight days, and tried again.

They are in ``unmatched`` at the root, because their laundromat is not known. They hold ids, status,
instants and price, but no phone and no user id. (WhatsApp's message ids contain the phone's digits
in encoded form; that is why nothing is kept for longer.)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from loader.firestore.aio import LostRaceError, encoded_delete, encoded_write
from whatsapp.webhook.items import AttemptRef, Receipt, ToldStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from whatsapp.webhook.matching import Matcher
    from whatsapp.webhook.recording import Recorder
    from whatsapp.webhook.store import Document, WebhookStore

__all__ = ["KEPT", "Parking", "TriedAgain"]

KEPT = timedelta(days=8)
_COLLECTION = "unmatched"
_IN_ONE_ROUND = 200
_IN_ONE_COMMIT = 200
# Up to this age: the pause until the next try.
_PAUSES = (
    (timedelta(minutes=2), timedelta(seconds=10)),
    (timedelta(hours=1), timedelta(minutes=5)),
    (timedelta(days=1), timedelta(hours=1)),
    (KEPT, timedelta(hours=6)),
)


@dataclass(frozen=True, slots=True)
class TriedAgain:
    """What one round did."""

    matched: int = 0
    dropped: int = 0
    """Receipts that found no attempt for eight days, or cannot be read."""
    is_full: bool = False
    """True: more may be due."""


class Parking:
    """Keeps receipts, and tries them again."""

    def __init__(
        self,
        store: WebhookStore,
        matcher: Matcher,
        recorder: Recorder,
        *,
        now: Callable[[], datetime],
    ) -> None:
        """Use these."""
        self._store, self._matcher, self._recorder = store, matcher, recorder
        self._now = now

    async def keep(self, receipts: Sequence[Receipt]) -> None:
        """Keep receipts; one that is already kept stays as it is.

        Raises:
            ServiceError: Firestore does not answer.

        """
        now = self._now()
        writes = {
            name: encoded_write(name, _fields(receipt, now), is_new=True)
            for receipt in receipts
            if (name := self._store.path(_COLLECTION, _id(receipt)))
        }
        kept = list(writes.values())
        for start in range(0, len(kept), _IN_ONE_COMMIT):
            part = kept[start : start + _IN_ONE_COMMIT]
            try:
                await self._store.commit(part)
            except LostRaceError:
                await self._each(part)

    async def try_again(self) -> TriedAgain:
        """Look again for the attempts of the receipts that are due.

        Raises:
            ServiceError: Firestore does not answer; nothing is lost.

        """
        now = self._now()
        found = await self._store.first(_COLLECTION, "nextTryAt", _IN_ONE_ROUND)
        due = [document for document in found if _is_due(document, now)]
        receipts = {document.name: _read(document) for document in due}
        readable = [receipt for receipt in receipts.values() if receipt is not None]
        matched, unknown = await self._matcher.of_receipts(readable)
        await self._recorder.receipts(matched)
        still = set(unknown)
        writes: list[bytes] = []
        dropped = 0
        for document in due:
            receipt = receipts[document.name]
            parked_at = document.fields.get("parkedAt")
            age = now - parked_at if isinstance(parked_at, datetime) else KEPT
            if receipt in still and age < KEPT:
                pause = next(pause for limit, pause in _PAUSES if age < limit)
                writes.append(encoded_write(document.name, {"nextTryAt": now + pause}))
                continue
            dropped += receipt is None or receipt in still
            writes.append(encoded_delete(document.name))
        await self._store.commit(writes)
        return TriedAgain(
            sum(len(found) for _, found in matched), dropped, len(due) == _IN_ONE_ROUND
        )

    async def _each(self, writes: list[bytes]) -> None:
        for write in writes:
            try:
                await self._store.commit([write])
            except LostRaceError:
                # It is already kept.
                continue


def _id(receipt: Receipt) -> str:
    told = f"{receipt.number_id} {receipt.message_id} {receipt.status} {receipt.at.timestamp():.0f}"
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _fields(receipt: Receipt, now: datetime) -> dict[str, Any]:
    fields = {
        "numberId": receipt.number_id,
        "messageId": receipt.message_id,
        "status": receipt.status.value,
        "at": receipt.at,
        "cnpj": receipt.attempt.cnpj if receipt.attempt else None,
        "attemptId": receipt.attempt.attempt_id if receipt.attempt else None,
        "code": receipt.code,
        "pricing": dict(receipt.pricing) or None,
        "parkedAt": now,
        "nextTryAt": now + _PAUSES[0][1],
        # For Firestore's TTL policy (docs/webhook.md), in case no webhook runs any more.
        "expiresAt": now + KEPT + timedelta(days=1),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _read(document: Document) -> Receipt | None:
    """Return the kept receipt; None: the document was changed and cannot be read."""
    fields = document.fields
    cnpj, attempt_id, at = fields.get("cnpj"), fields.get("attemptId"), fields.get("at")
    code, pricing = fields.get("code"), fields.get("pricing")
    try:
        status = ToldStatus(str(fields.get("status")))
    except ValueError:
        return None
    if not isinstance(at, datetime):
        return None
    return Receipt(
        str(fields.get("numberId")),
        str(fields.get("messageId")),
        status,
        at,
        AttemptRef(cnpj, attempt_id)
        if isinstance(cnpj, str) and isinstance(attempt_id, str)
        else None,
        code=code if isinstance(code, int) else None,
        pricing=pricing if isinstance(pricing, dict) else {},
    )


def _is_due(document: Document, now: datetime) -> bool:
    due = document.fields.get("nextTryAt")
    return isinstance(due, datetime) and due <= now
