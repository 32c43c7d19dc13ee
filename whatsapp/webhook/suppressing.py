"""Writes suppressions and resumptions to documents, in any order.

Both sides write first and read afterwards: if a stop and a resume come at the same moment, at least
one of them finds the other.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING

from loader.base.errors import ServiceError
from loader.firestore.aio import LostRaceError, encoded_write
from loader.firestore.wire import SERVER_TIME
from whatsapp.webhook.optouts import OptOutSource, keys_of, resumed_at, suppression

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whatsapp.webhook.items import Person
    from whatsapp.webhook.optouts import OptOut
    from whatsapp.webhook.store import Document, WebhookStore

__all__ = ["Suppressor"]

_TRIES = 10
_SUPPRESSIONS, _RESUMPTIONS = "suppressions", "resumptions"


class Suppressor:
    """Writes ``users/{cnpj}/suppressions`` and ``users/{cnpj}/resumptions``."""

    def __init__(self, store: WebhookStore) -> None:
        """Use this store."""
        self._store = store

    async def suppress(self, cnpj: str, opt_out: OptOut, customer_ids: Iterable[str]) -> None:
        """Suppress a person in one laundromat; it is committed when this returns.

        Raises:
            ServiceError: Firestore does not answer.

        """
        fields = suppression(opt_out, customer_ids)
        name = self._store.path("users", cnpj, _SUPPRESSIONS, opt_out.event_id)
        with contextlib.suppress(LostRaceError):
            # After a lost race: the event was applied before.
            await self._store.commit([encoded_write(name, fields, is_new=True)])
        if opt_out.source is OptOutSource.PREFERENCES:
            found = await self._store.about(cnpj, _RESUMPTIONS, fields["keys"])
            await self._end(name, _instants(found))

    async def resume(self, cnpj: str, event: str, person: Person, at: datetime) -> None:
        """End the opt-outs that the person chose in the app before, in one laundromat.

        Args:
            cnpj: The laundromat.
            event: The id of the choice.
            person: The person.
            at: When it was chosen.

        Raises:
            ServiceError: Firestore does not answer.

        """
        keys = keys_of(person)
        name = self._store.path("users", cnpj, _RESUMPTIONS, event)
        fields = {"keys": keys, "at": at, "updatedAt": SERVER_TIME}
        with contextlib.suppress(LostRaceError):
            await self._store.commit([encoded_write(name, fields, is_new=True)])
        for found in await self._store.about(cnpj, _SUPPRESSIONS, keys):
            await self._end(found.name, [at])

    async def _end(self, name: str, resumes: list[datetime]) -> None:
        """Record that a suppression ended, if one of the resumes ends it."""
        for _ in range(_TRIES):
            found = (await self._store.get([name])).get(name)
            if found is None:
                return
            ended = resumed_at(found.fields, resumes)
            if ended is None or found.fields.get("resumedAt") == ended:
                return
            fields = {"resumedAt": ended, "updatedAt": SERVER_TIME}
            try:
                await self._store.commit(
                    [encoded_write(name, fields, update_time=found.update_time)]
                )
            except LostRaceError:
                continue
            return
        message = "a suppression changes all the time"
        raise ServiceError(message, is_transient=True)


def _instants(found: list[Document]) -> list[datetime]:
    instants = (document.fields.get("at") for document in found)
    return [at for at in instants if isinstance(at, datetime)]
