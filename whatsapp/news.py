"""What the webhook tells the sender: documents ``portfolios/{id}/news/{key}``.

The sender polls them.

A document says how one template, number, account or limit is now; a later event replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from whatsapp.error_classes import ErrorClass

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PortfolioNews", "news_fields", "news_place", "read_news"]


@dataclass(frozen=True, slots=True)
class PortfolioNews:
    """One event."""

    kind: str
    """template, category, number, limit, account, or failure."""
    at: datetime
    """When it happened."""
    event: str
    """WhatsApp's word, or the code of a failure."""
    reason: str = ""
    """WhatsApp's reason; for a failure, the class of its code."""
    waba_id: str = ""
    template: tuple[str, str] | None = None
    """Name and language."""
    number_id: str = ""
    """Only for a failure."""
    token_secret: str = ""
    """Only for a failure: the name of the token's secret."""
    limit: str | None = None
    """The limit of people in 24 hours, in WhatsApp's words."""


def news_place(portfolio_id: str, key: str) -> tuple[str, ...]:
    """Return where an event is kept."""
    return ("portfolios", portfolio_id, "news", key)


def news_fields(news: PortfolioNews) -> dict[str, Any]:
    """Return the document's fields, without updatedAt."""
    name, language = news.template or (None, None)
    fields = {
        "kind": news.kind,
        "at": news.at,
        "event": news.event,
        "reason": news.reason,
        "wabaId": news.waba_id,
        "templateName": name,
        "templateLanguage": language,
        "numberId": news.number_id,
        "tokenSecret": news.token_secret,
        "limit": news.limit,
    }
    return {key: value for key, value in fields.items() if value not in (None, "")}


def read_news(fields: Mapping[str, Any]) -> PortfolioNews | None:
    """Return an event; None: it cannot be read."""
    at = fields.get("at")
    if not isinstance(at, datetime):
        return None

    def text(name: str) -> str:
        return str(fields.get(name) or "")

    is_failure = text("kind") == "failure"
    if is_failure and not (text("event").isdecimal() and text("reason") in set(ErrorClass)):
        return None
    name, language = text("templateName"), text("templateLanguage")
    return PortfolioNews(
        text("kind"),
        at,
        text("event"),
        text("reason"),
        text("wabaId"),
        (name, language) if name else None,
        text("numberId"),
        text("tokenSecret"),
        text("limit") or None,
    )
