"""The confirmation of an opt-out: sent after the 200, at most once, within the 24-hour window."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from loader.base.errors import VmhubError
from loader.base.persons import phone_key, with_ninth_digit
from loader.firestore.aio import LostRaceError, encoded_write
from whatsapp.outcomes import Accepted, same_attempt_after
from whatsapp.webhook.parsing import CONFIRMATION_DATA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from whatsapp.api import Endpoint
    from whatsapp.outcomes import Answer
    from whatsapp.tokens import Secrets
    from whatsapp.webhook.directory import Tenant
    from whatsapp.webhook.optouts import OptOut
    from whatsapp.webhook.store import WebhookStore

__all__ = ["Confirmations", "Wanted"]

_log = logging.getLogger(__name__)

_WINDOW = timedelta(hours=24)
# Our clock may differ from WhatsApp's, and the POST takes a moment.
_MARGIN = timedelta(minutes=5)
_WAITING = 1_000
_AT_A_TIME = 4


class ConfirmationApi(Protocol):
    """The part of `whatsapp.api.Api` that a confirmation needs."""

    async def send(
        self, number_id: str, endpoint: Endpoint, body: Mapping[str, Any], token: str
    ) -> Answer:
        """Post a message, and return what the answer proves."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A confirmation to send."""

    opt_out: OptOut
    tenants: tuple[Tenant, ...]
    """The laundromats that the opt-out is about; all have the same number."""


class Confirmations:
    """Sends confirmations in the background; no webhook waits for one."""

    def __init__(
        self,
        store: WebhookStore,
        api: ConfirmationApi,
        secrets: Secrets,
        *,
        now: Callable[[], datetime],
        phone_secret: bytes,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Use these."""
        self._store, self._api, self._secrets = store, api, secrets
        self._now, self._phone_secret, self._sleep = now, phone_secret, sleep
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_AT_A_TIME)
        self.outcomes: Counter[str] = Counter()
        """sent, claimed (already sent), late, no_account, no_phone, refused, unknown, error."""

    def ask(self, wanted: Wanted) -> None:
        """Send a confirmation soon."""
        if len(self._tasks) >= _WAITING:
            self.outcomes["too_many"] += 1
            return
        task = asyncio.create_task(self._guarded(wanted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Wait this long for the confirmations under way, then cancel the rest."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()

    async def _guarded(self, wanted: Wanted) -> None:
        async with self._places:
            try:
                outcome = await self.confirm(wanted)
            except VmhubError as error:
                # The opt-out itself is written; only its confirmation is missing.
                _log.warning("a confirmation was not sent: %s", error)
                outcome = "error"
            except Exception as error:  # noqa: BLE001 - its text may quote a person's number
                _log.error("a confirmation was not sent: %s", type(error).__name__)
                outcome = "error"
        self.outcomes[outcome] += 1

    async def confirm(self, wanted: Wanted) -> str:
        """Claim and send a confirmation; return what became of it.

        Raises:
            VmhubError: Firestore or the secret cannot be read; nothing was sent.

        """
        opt_out = wanted.opt_out
        if opt_out.person.phone is None:
            return "no_phone"
        if self._now() > opt_out.at + _WINDOW - _MARGIN:
            return "late"
        phone = f"+{with_ninth_digit(opt_out.person.phone)}"
        sending = next((one for one in wanted.tenants if _may_send(one, phone)), None)
        if sending is None or sending.account is None:
            return "no_account"
        token = await self._secrets.get(sending.account.token_secret)
        if not await self._claim(wanted, phone):
            return "claimed"
        body = _body(phone, _text(wanted.tenants))
        tries = 1
        answer = await self._api.send(sending.number_id, "messages", body, token)
        # Repeat only while the answer proves that nothing was sent.
        while (seconds := same_attempt_after(answer, tries)) is not None:
            await self._sleep(seconds)
            tries += 1
            answer = await self._api.send(sending.number_id, "messages", body, token)
        match answer:
            case Accepted():
                return "sent"
            case _:
                return type(answer).__name__.lower()

    async def _claim(self, wanted: Wanted, phone: str) -> bool:
        """Claim the confirmation; False: one was sent or claimed within 24 hours."""
        first = min(tenant.cnpj for tenant in wanted.tenants)
        number_id = wanted.tenants[0].number_id
        who = f"{number_id} {phone_key(self._phone_secret, phone)}"
        key = hashlib.sha256(who.encode()).hexdigest()[:32]
        name = self._store.path("users", first, "confirmations", key)
        known = (await self._store.get([name])).get(name)
        fields = {"at": wanted.opt_out.at, "event": wanted.opt_out.event_id}
        before = known.fields.get("at") if known is not None else None
        if isinstance(before, datetime) and abs(wanted.opt_out.at - before) < _WINDOW:
            return False
        write = (
            encoded_write(name, fields, is_new=True)
            if known is None
            else encoded_write(name, fields, update_time=known.update_time)
        )
        try:
            await self._store.commit([write])
        except LostRaceError:
            return False
        return True


def _may_send(tenant: Tenant, phone: str) -> bool:
    account = tenant.account
    if account is None or not account.is_enabled:
        return False
    return account.test_phones is None or phone in account.test_phones


def _text(tenants: Sequence[Tenant]) -> str:
    """Return the text for the person; it names no laundromat when several share the number."""
    name = tenants[0].name if len(tenants) == 1 else ""
    of_whom = f"promoções da {name}" if name else "nossas promoções"
    return (
        f"Pronto! Você não vai mais receber {of_whom} por aqui. "
        "Se mudar de ideia, é só avisar a nossa equipe."
    )


def _body(phone: str, text: str) -> dict[str, Any]:
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": phone,
        "type": "text",
        "text": {"body": text},
        "biz_opaque_callback_data": CONFIRMATION_DATA,
    }
