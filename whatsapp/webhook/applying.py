"""Writes the items of a POST to documents: each by itself, so that no failure stops the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from whatsapp.webhook.confirmations import Wanted
from whatsapp.webhook.items import ChoiceValue, Unreadable
from whatsapp.webhook.optouts import OptOut, of_choice, of_message
from whatsapp.webhook.replies import Told
from whatsapp.webhook.words import is_opt_out

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from whatsapp.webhook.confirmations import Confirmations
    from whatsapp.webhook.directory import Directory, Tenant
    from whatsapp.webhook.items import AccountNews, Choice, InboundMessage, Parsed, Receipt
    from whatsapp.webhook.matching import Matcher
    from whatsapp.webhook.news import NewsDesk
    from whatsapp.webhook.parking import Parking
    from whatsapp.webhook.recording import Recorder
    from whatsapp.webhook.suppressing import Suppressor

__all__ = ["Applier", "Parts"]

ItemT = TypeVar("ItemT")

_AT_A_TIME = 16
_NOBODYS_NUMBER = "no laundromat of the registry has this number"
_NOBODY_KNOWN = "it has a user id only, to which nothing was ever sent"
_NOBODYS_ACCOUNT = "no laundromat of the registry has this account"


@dataclass(frozen=True)
class Parts:
    """The parts that apply a POST."""

    directory: Directory
    matcher: Matcher
    recorder: Recorder
    suppressor: Suppressor
    parking: Parking
    news: NewsDesk
    confirmations: Confirmations


class Applier:
    """Applies the items of a POST."""

    def __init__(self, parts: Parts, *, reject: Callable[[Unreadable], None]) -> None:
        """Use these parts; ``reject`` is called with each item that cannot be applied."""
        self._directory, self._matcher, self._recorder = (
            parts.directory,
            parts.matcher,
            parts.recorder,
        )
        self._suppressor, self._parking, self._news = parts.suppressor, parts.parking, parts.news
        self._confirmations, self._reject = parts.confirmations, reject
        self._places = asyncio.Semaphore(_AT_A_TIME)
        self.counts: Counter[str] = Counter()
        """receipt, unmatched, opt_out, resume, reply, news, ignored, rejected."""

    async def apply(self, parsed: Parsed) -> None:
        """Apply everything; when this returns, all of it is committed.

        Raises:
            ServiceError: Firestore does not answer. The other items are applied; the whole POST may
                be applied again.

        """
        for unreadable in parsed.unreadable:
            self._refuse(unreadable)
        self.counts["ignored"] += parsed.ignored
        opt_outs = [message for message in parsed.messages if is_opt_out(message)]
        others = [message for message in parsed.messages if not is_opt_out(message)]
        # Opt-outs come first.
        failures = [
            *await self._each(self._opt_out, opt_outs),
            *await self._each(self._choice, parsed.choices),
        ]
        failures += await self._all([self._receipts(parsed.receipts)])
        failures += await self._each(self._reply, others)
        failures += await self._each(self._tell, parsed.news)
        if failures:
            raise failures[0]

    async def _each(
        self, apply: Callable[[ItemT], Awaitable[None]], items: Sequence[ItemT]
    ) -> list[BaseException]:
        async def one(item: ItemT) -> None:
            async with self._places:
                await apply(item)

        return await self._all([one(item) for item in items])

    async def _all(self, calls: Iterable[Awaitable[None]]) -> list[BaseException]:
        results = await asyncio.gather(*calls, return_exceptions=True)
        return [result for result in results if isinstance(result, BaseException)]

    # Receipts

    async def _receipts(self, receipts: Sequence[Receipt]) -> None:
        if not receipts:
            return
        matched, unknown = await self._matcher.of_receipts(receipts)
        if unknown:
            await self._parking.keep(unknown)
            self.counts["unmatched"] += len(unknown)
        await self._recorder.receipts(matched)
        self.counts["receipt"] += len(receipts) - len(unknown)

    # Opt-outs

    async def _opt_out(self, message: InboundMessage) -> None:
        tenants = await self._tenants(message, "message")
        if not tenants:
            return
        customers: dict[str, list[str]] = {}
        if message.context_id is not None:
            send = await self._matcher.answered(tenants, message.context_id)
            if send is not None:
                tenants = tuple(tenant for tenant in tenants if tenant.cnpj == send.path[1])
                customers = {send.path[1]: [str(send.fields.get("customerId"))]}
        opt_out = of_message(message)
        await self._suppress(tenants, opt_out, customers)
        self.counts["opt_out"] += 1
        self._confirmations.ask(Wanted(opt_out, tenants))

    async def _choice(self, choice: Choice) -> None:
        tenants = await self._tenants(choice, "choice")
        event = of_choice(choice)
        if choice.value is ChoiceValue.STOP:
            if tenants:
                await self._suppress(tenants, event, {})
                self.counts["opt_out"] += 1
            return
        for tenant in tenants:
            await self._suppressor.resume(tenant.cnpj, event.event_id, choice.person, choice.at)
        self.counts["resume"] += bool(tenants)

    async def _suppress(
        self, tenants: Sequence[Tenant], opt_out: OptOut, customers: dict[str, list[str]]
    ) -> None:
        if opt_out.person.phone is None and not customers:
            # Only a user id is known: earlier messages to it tell which customer it is.
            for send in await self._matcher.sent_to(tenants, opt_out.person):
                customer = str(send.fields.get("customerId"))
                customers.setdefault(send.path[1], []).append(customer)
            if not customers:
                # The suppression is written all the same, but it matches no target of this person.
                self._refuse(Unreadable("opt_out", _NOBODY_KNOWN, tenants[0].number_id))
        for tenant in tenants:
            await self._suppressor.suppress(tenant.cnpj, opt_out, customers.get(tenant.cnpj, []))

    # Everything else

    async def _reply(self, message: InboundMessage) -> None:
        tenants = await self._tenants(message, "message")
        send = None
        if tenants and message.context_id is not None:
            send = await self._matcher.answered(tenants, message.context_id)
        if tenants and send is None:
            send = await self._matcher.last_sent(tenants, message.person, message.at)
        if send is None:
            self.counts["ignored"] += bool(tenants)
            return
        keeps = any(tenant.keeps_replies for tenant in tenants if tenant.cnpj == send.path[1])
        await self._recorder.reply(send, Told(message.at, message.text if keeps else None))
        self.counts["reply"] += 1

    async def _tell(self, news: AccountNews) -> None:
        if await self._news.apply(news):
            self.counts["news"] += 1
        else:
            self._refuse(Unreadable("news", _NOBODYS_ACCOUNT))

    async def _tenants(self, item: InboundMessage | Choice, kind: str) -> tuple[Tenant, ...]:
        tenants = await self._directory.tenants(item.number_id)
        if not tenants:
            self._refuse(Unreadable(kind, _NOBODYS_NUMBER, item.number_id))
        return tenants

    def _refuse(self, unreadable: Unreadable) -> None:
        self.counts["rejected"] += 1
        self._reject(unreadable)
