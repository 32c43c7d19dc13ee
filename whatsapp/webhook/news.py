"""Events of templates, numbers, accounts and limits, for the sender and for VMHUB_OPS."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from loader.base.errors import ServiceError
from loader.firestore.aio import LostRaceError, encoded_write
from loader.firestore.wire import SERVER_TIME
from whatsapp.error_classes import ErrorClass
from whatsapp.news import PortfolioNews, news_fields, news_place, read_news
from whatsapp.targets import read_template
from whatsapp.webhook.items import NewsKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from whatsapp.outcomes import Refused
    from whatsapp.webhook.directory import Directory
    from whatsapp.webhook.items import AccountNews, Receipt
    from whatsapp.webhook.store import Document, WebhookStore

__all__ = ["NewsDesk"]

_log = logging.getLogger(__name__)

_TRIES = 10
# The same failure of five hundred messages is not written five hundred times.
_TOLD_AGAIN_SECONDS = 30.0

_PAUSING = {
    ErrorClass.TEMPLATE,
    ErrorClass.ROUTE,
    ErrorClass.LAUNDROMAT,
    ErrorClass.TOKEN,
    ErrorClass.PORTFOLIO,
}


class NewsDesk:
    """Writes ``portfolios/{id}/news``."""

    def __init__(
        self,
        store: WebhookStore,
        directory: Directory,
        *,
        now: Callable[[], datetime],
        seconds: Callable[[], float],
        record: Callable[[dict[str, Any]], None],
    ) -> None:
        """Use these.

        Args:
            store: Firestore.
            directory: The registry.
            now: The clock.
            seconds: A monotonic clock.
            record: Called with each row for VMHUB_OPS.webhook_events.

        """
        self._store, self._directory = store, directory
        self._now, self._seconds, self._record = now, seconds, record
        self._told: dict[tuple[str, str], float] = {}

    async def apply(self, news: AccountNews) -> bool:
        """Tell the senders of the account's portfolios; False: nobody here has the account.

        Raises:
            ServiceError: Firestore does not answer.

        """
        portfolios = await self._directory.portfolios(news.waba_id)
        told = PortfolioNews(
            news.kind.value,
            news.at,
            news.event,
            news.reason,
            news.waba_id,
            news.template,
            limit=news.limit,
        )
        for portfolio_id in portfolios:
            if await self._tell(portfolio_id, _key(news), told):
                self._record(self._row(portfolio_id, told, news.number))
                _log.warning(
                    "%s of account %s: %s %s %s",
                    news.kind,
                    news.waba_id,
                    news.event,
                    news.reason,
                    " ".join(news.template or ()),
                )
        return bool(portfolios)

    async def failed(self, send: Document, receipt: Receipt, refused: Refused) -> None:
        """Tell the sender of a failure that concerns more than one customer.

        The sender treats it like a POST that failed with this code.

        Raises:
            ServiceError: Firestore does not answer.

        """
        portfolio_id = send.fields.get("portfolioId")
        if refused.error_class not in _PAUSING or not portfolio_id:
            return
        tenants = await self._directory.tenants(receipt.number_id)
        tenant = next((one for one in tenants if one.cnpj == send.path[1]), None)
        if tenant is None or tenant.account is None:
            return
        template = None
        if refused.error_class in {ErrorClass.TEMPLATE, ErrorClass.ROUTE}:
            template = await self._template_of(send)
        parts = (str(refused.code), receipt.number_id, *(template or ()))
        key = quote("failure " + " ".join(parts), safe="")
        told_at = self._told.get((portfolio_id, key))
        if told_at is not None and self._seconds() - told_at < _TOLD_AGAIN_SECONDS:
            return
        told = PortfolioNews(
            "failure",
            receipt.at,
            str(refused.code),
            refused.error_class.value,
            tenant.waba_id,
            template,
            receipt.number_id,
            tenant.account.token_secret,
        )
        await self._tell(portfolio_id, key, told)
        self._told[portfolio_id, key] = self._seconds()

    async def _template_of(self, send: Document) -> tuple[str, str] | None:
        campaign_type, customer_id = send.fields.get("campaignType"), send.fields.get("customerId")
        path = ("users", send.path[1], "campaigns", str(campaign_type), "targets", str(customer_id))
        name = self._store.path(*path)
        target = (await self._store.get([name])).get(name)
        template = read_template(target.fields.get("data")) if target is not None else None
        return (template.name, template.language) if template is not None else None

    async def _tell(self, portfolio_id: str, key: str, news: PortfolioNews) -> bool:
        """Write an event, unless it or a later one is known; return whether it is new."""
        name = self._store.path(*news_place(portfolio_id, key))
        for _ in range(_TRIES):
            known = (await self._store.get([name])).get(name)
            before = read_news(known.fields) if known is not None else None
            if before is not None and (before == news or before.at > news.at):
                return False
            fields = news_fields(news) | {"updatedAt": SERVER_TIME}
            write = (
                encoded_write(
                    name, _without_others(known.fields, fields), update_time=known.update_time
                )
                if known is not None
                else encoded_write(name, fields, is_new=True)
            )
            try:
                await self._store.commit([write])
            except LostRaceError:
                continue
            return True
        message = "the news of a portfolio change all the time"
        raise ServiceError(message, is_transient=True)

    def _row(self, portfolio_id: str, news: PortfolioNews, number: str | None) -> dict[str, Any]:
        name, language = news.template or (None, None)
        return {
            "recorded_at": self._now().isoformat(),
            "happened_at": news.at.isoformat(),
            "portfolio_id": portfolio_id,
            "waba_id": news.waba_id,
            "kind": news.kind,
            "event": news.event,
            "reason": news.reason or None,
            "template": f"{name} {language}" if name else None,
            "business_number": number,
            "people_limit": news.limit,
        }


def _key(news: AccountNews) -> str:
    """Return the key of an event: a later event with the same key replaces it."""
    match news.kind:
        case NewsKind.TEMPLATE | NewsKind.CATEGORY:
            about = " ".join((news.waba_id, *(news.template or ())))
        case NewsKind.NUMBER:
            about = f"{news.waba_id} {news.number}"
        case NewsKind.LIMIT | NewsKind.ACCOUNT:
            about = news.waba_id
    return quote(f"{news.kind.value} {about}", safe="")


def _without_others(known: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(known) | fields
