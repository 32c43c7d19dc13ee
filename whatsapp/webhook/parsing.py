"""Reads the JSON of a POST into typed items. Pure; an unreadable item does not stop the others.

The formats are described at developers.facebook.com, whatsapp/webhooks/reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from loader.base.fields import Fields, UnreadableError, read_instant
from whatsapp.webhook.items import (
    AccountNews,
    AttemptRef,
    Choice,
    ChoiceValue,
    InboundMessage,
    NewsKind,
    Parsed,
    Person,
    Receipt,
    ToldStatus,
    Unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["CONFIRMATION_DATA", "parse"]

CONFIRMATION_DATA = "c1"
"""The callback data of our own confirmations; their statuses are ignored."""

# What our sender puts into biz_opaque_callback_data.
_OURS = re.compile(r"v1\.([0-9A-Z]{14})\.((?!__)[A-Za-z0-9_-]{1,64})")
_DIGITS = re.compile(r"\d{8,15}")
_WORD = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_NUMBER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_ID = 256
_MAX_TEXT = 4096
_MAX_NAME = 512

# Statuses that do not say whether a message arrived.
_OTHER_STATUSES = {"deleted", "warning", "played", "accepted", "pending"}
# Types of inbound messages that no person wrote.
_OTHER_MESSAGES = {"system", "unsupported", "request_welcome", "errors"}

ItemT = TypeVar("ItemT")


class _NotForUsError(Exception):
    """The item is not for us."""


def parse(raw: bytes) -> Parsed:
    """Return the items of a POST.

    Args:
        raw: The body; its signature was checked.

    """
    try:
        whole = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return Parsed(unreadable=(Unreadable("body", "it is not JSON"),))
    entries = whole.get("entry") if isinstance(whole, dict) else None
    if not isinstance(entries, list):
        return Parsed(unreadable=(Unreadable("body", "it has no list of entries"),))
    reader = _Reader()
    for entry in entries:
        reader.entry(entry)
    return reader.parsed()


class _Reader:
    """Reads item by item, and remembers what could not be read."""

    def __init__(self) -> None:
        self._receipts: list[Receipt] = []
        self._messages: list[InboundMessage] = []
        self._choices: list[Choice] = []
        self._news: list[AccountNews] = []
        self._unreadable: list[Unreadable] = []
        self._ignored = 0

    def parsed(self) -> Parsed:
        return Parsed(
            tuple(self._receipts),
            tuple(self._messages),
            tuple(self._choices),
            tuple(self._news),
            tuple(self._unreadable),
            self._ignored,
        )

    def entry(self, entry: Any) -> None:
        changes = entry.get("changes") if isinstance(entry, dict) else None
        if not isinstance(changes, list):
            self._unreadable.append(Unreadable("body", "an entry has no list of changes"))
            return
        for change in changes:
            if not isinstance(change, dict) or not isinstance(change.get("value"), dict):
                self._unreadable.append(Unreadable("body", "a change has no value"))
                continue
            self._change(entry, str(change.get("field")), change["value"])

    def _change(self, entry: dict[str, Any], field: str, value: dict[str, Any]) -> None:
        if field in {"messages", "user_preferences"}:
            metadata = value.get("metadata")
            number_id = metadata.get("phone_number_id") if isinstance(metadata, dict) else None
            known = isinstance(number_id, str) and _NUMBER_ID.fullmatch(number_id)
            number = number_id if known else None
            self._each(value, ("statuses", "status"), number, _receipt, self._receipts)
            self._each(value, ("messages", "message"), number, _message, self._messages)
            self._each(value, ("user_preferences", "choice"), number, _choice, self._choices)
            return
        read = _NEWS.get(field)
        if read is None:
            self._ignored += 1
            return
        waba_id, at = entry.get("id"), entry.get("time")

        def news() -> AccountNews:
            if not isinstance(waba_id, str) or not _NUMBER_ID.fullmatch(waba_id):
                raise UnreadableError("its account has no id")  # noqa: EM101, TRY003
            return read(Fields(value), waba_id, read_instant(at))

        self._keep(news, self._news, "news", None)

    def _each(
        self,
        value: dict[str, Any],
        names: tuple[str, str],
        number_id: str | None,
        read: Callable[[Fields, str], ItemT],
        found: list[ItemT],
    ) -> None:
        name, kind = names
        items = value.get(name)
        if items is None:
            return
        if not isinstance(items, list):
            self._unreadable.append(Unreadable(kind, f"{name} is not a list", number_id))
            return
        for item in items:

            def one(item: Any = item) -> ItemT:
                if number_id is None:
                    raise UnreadableError("metadata.phone_number_id is missing")  # noqa: EM101, TRY003
                if not isinstance(item, dict):
                    raise UnreadableError("it is not a map")  # noqa: EM101, TRY003
                return read(Fields(item), number_id)

            self._keep(one, found, kind, number_id)

    def _keep(
        self, read: Callable[[], ItemT], found: list[ItemT], kind: str, number_id: str | None
    ) -> None:
        try:
            found.append(read())
        except UnreadableError as error:
            self._unreadable.append(Unreadable(kind, str(error), number_id))
        except _NotForUsError:
            self._ignored += 1


def _receipt(item: Fields, number_id: str) -> Receipt:
    told = item.text("status", most=64)
    if told in _OTHER_STATUSES:
        raise _NotForUsError
    try:
        status = ToldStatus(told or "")
    except ValueError:
        raise UnreadableError("its status is not known") from None  # noqa: EM101, TRY003
    data = item.text("biz_opaque_callback_data", most=512)
    ours = _OURS.fullmatch(data or "")
    if data and ours is None:
        # Another program's message on the same number, or a confirmation of ours.
        raise _NotForUsError
    code = None
    if status is ToldStatus.FAILED:
        codes = [error.code("code") for error in item.maps("errors")]
        code = next((int(code) for code in codes if code is not None and code.isdecimal()), None)
    pricing = item.map("pricing")
    said = {
        "category": pricing.text("category", most=64),
        "type": pricing.text("type", most=64),
        "billable": pricing.switch("billable"),
        "model": pricing.text("pricing_model", most=64),
    }
    return Receipt(
        number_id,
        _required(item.text("id", most=_MAX_ID), "id"),
        status,
        _instant(item),
        AttemptRef(ours[1], ours[2]) if ours else None,
        _person(item, "recipient_id", "recipient_user_id"),
        code,
        {key: value for key, value in said.items() if value is not None},
    )


def _message(item: Fields, number_id: str) -> InboundMessage:
    kind = item.text("type", most=64)
    if kind in _OTHER_MESSAGES:
        raise _NotForUsError
    person = _person(item, "from", "from_user_id")
    if person == Person():
        raise UnreadableError("it names no sender")  # noqa: EM101, TRY003
    text = payload = None
    context_id = item.map("context").text("id", most=_MAX_ID)
    match kind:
        case "text":
            text = item.map("text").text("body", most=_MAX_TEXT * 16)
        case "button":
            button = item.map("button")
            text = button.text("text", most=_MAX_TEXT)
            payload = button.text("payload", most=_MAX_TEXT)
        case "interactive":
            tapped = item.map("interactive").map("button_reply")
            text, payload = tapped.text("title", most=_MAX_TEXT), tapped.text("id", most=_MAX_TEXT)
        case "reaction":
            context_id = context_id or item.map("reaction").text("message_id", most=_MAX_ID)
    return InboundMessage(
        number_id,
        _required(item.text("id", most=_MAX_ID), "id"),
        _instant(item),
        person,
        context_id,
        text,
        payload,
        is_button=kind in {"button", "interactive"},
    )


def _choice(item: Fields, number_id: str) -> Choice:
    category = item.text("category", most=64)
    if category not in {None, "marketing_messages"}:
        raise _NotForUsError
    try:
        value = ChoiceValue(item.text("value", most=64) or "")
    except ValueError:
        raise UnreadableError("its value is neither stop nor resume") from None  # noqa: EM101, TRY003
    person = _person(item, "wa_id", "user_id")
    if person == Person():
        raise UnreadableError("it names no person")  # noqa: EM101, TRY003
    return Choice(number_id, value, _instant(item), person)


def _template_status(value: Fields, waba_id: str, at: datetime) -> AccountNews:
    return AccountNews(
        waba_id,
        NewsKind.TEMPLATE,
        at,
        _word(value, "event"),
        reason=value.code("reason") or "",
        template=_template(value),
    )


def _template_category(value: Fields, waba_id: str, at: datetime) -> AccountNews:
    if value.is_there("correct_category"):
        # Only announced: another event comes when it changes, in a day.
        raise _NotForUsError
    event = _word(value, "new_category")
    return AccountNews(waba_id, NewsKind.CATEGORY, at, event, template=_template(value))


def _number_quality(value: Fields, waba_id: str, at: datetime) -> AccountNews:
    number = value.text("display_phone_number", most=32)
    limit = value.code("max_daily_conversations_per_business") or value.code("current_limit")
    return AccountNews(
        waba_id, NewsKind.NUMBER, at, _word(value, "event"), number=number, limit=limit
    )


def _capability(value: Fields, waba_id: str, at: datetime) -> AccountNews:
    names = ("max_daily_conversations_per_business", "max_daily_conversation_per_phone")
    limit = next((code for name in names if (code := value.code(name)) is not None), None)
    return AccountNews(waba_id, NewsKind.LIMIT, at, "LIMIT", limit=limit)


def _account(value: Fields, waba_id: str, at: datetime) -> AccountNews:
    event = _word(value, "event")
    types = [info.code("restriction_type") or "" for info in value.maps("restriction_info")] or [
        value.map("ban_info").code("waba_ban_state") or ""
    ]
    return AccountNews(waba_id, NewsKind.ACCOUNT, at, event, reason=" ".join(types).strip())


_NEWS: dict[str, Callable[[Fields, str, datetime], AccountNews]] = {
    "message_template_status_update": _template_status,
    "template_category_update": _template_category,
    "phone_number_quality_update": _number_quality,
    "business_capability_update": _capability,
    "account_update": _account,
}


def _template(value: Fields) -> tuple[str, str]:
    name = value.text("message_template_name", most=_MAX_NAME)
    language = value.text("message_template_language", most=32)
    return _required(name, "message_template_name"), _required(
        language, "message_template_language"
    )


def _person(item: Fields, phone_name: str, id_name: str) -> Person:
    phone = item.text(phone_name, most=32)
    digits = (phone or "").removeprefix("+")
    return Person(
        digits if _DIGITS.fullmatch(digits) else None, item.text(id_name, most=_MAX_ID) or None
    )


def _instant(item: Fields) -> datetime:
    value = item.text("timestamp", most=32)
    raw: Any = int(value) if value is not None and value.isdecimal() else value
    instant = read_instant(raw) if raw is not None else item.instant("timestamp")
    if instant is None:
        raise UnreadableError("its timestamp is missing")  # noqa: EM101, TRY003
    return instant


def _word(value: Fields, name: str) -> str:
    word = value.code(name)
    if word is None or not _WORD.fullmatch(word):
        message = f"its {name} is not one word of capitals"
        raise UnreadableError(message)
    return word


def _required(text: str | None, name: str) -> str:
    if not text:
        message = f"its {name} is missing"
        raise UnreadableError(message)
    return text
