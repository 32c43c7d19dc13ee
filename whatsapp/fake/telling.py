"""Events at WhatsApp: people answer, templates are paused, limits change."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, assert_never

from whatsapp.fake import payloads
from whatsapp.fake.events import (
    Button,
    Capability,
    NumberQuality,
    Preference,
    Raw,
    ReceiptStatus,
    Reply,
    TemplateCategoryChange,
    TemplateQuality,
    TemplateStatusChange,
)
from whatsapp.fake.ledger import Inbound
from whatsapp.fake.payloads import Item
from whatsapp.fake.phones import same_person
from whatsapp.fake.sending import tell_status

if TYPE_CHECKING:
    from datetime import datetime

    from whatsapp.fake.events import WebhookEvent
    from whatsapp.fake.state import FakeState
    from whatsapp.fake.templates import FakeTemplate

__all__ = ["happen"]

_NO_LIMIT = 1_000_000_000


def happen(state: FakeState, event: WebhookEvent) -> None:
    """Apply an event to the state, and queue its webhook.

    Raises:
        KeyError: The event names a message, number, template or account that is not there.

    """
    at = event.at or state.clock.now() + timedelta(seconds=event.after_seconds)
    if isinstance(event, ReceiptStatus):
        message = state.ledger.find(event.message_id)
        if message is None:
            raise KeyError(event.message_id)
        after = timedelta(seconds=event.after_seconds)
        tell_status(state, message, event.status, at=at, after=after, error_code=event.error_code)
        return
    due = state.clock.now() + timedelta(seconds=event.after_seconds)
    state.webhooks.add(_item(state, event, at), due, state.settings.webhooks)


def _item(state: FakeState, event: WebhookEvent, at: datetime) -> Item:  # noqa: C901 - a table of kinds
    match event:
        case Reply():
            content: dict[str, Any] = {"type": "text", "text": {"body": event.text}}
            return _inbound(state, event, at, event.context_id, content)
        case Button():
            button = {"payload": event.payload or event.text, "text": event.text}
            content = {"type": "button", "button": button}
            return _inbound(state, event, at, event.context_id, content)
        case Preference():
            number = state.numbers[event.number_id]
            person = (number.waba_id, same_person(event.sender))
            (state.stopped.add if event.value == "stop" else state.stopped.discard)(person)
            return payloads.preference(number, state.recipient(event.sender), event.value, at)
        case TemplateStatusChange():
            template = state.change_template(event.template_id, status=event.status)
            value = {
                "event": event.status,
                **_named(template),
                "reason": event.reason,
                "message_template_category": template.category,
            }
            if event.title is not None:
                value["other_info"] = {"title": event.title, "description": event.title}
            return _account_item(template.waba_id, "message_template_status_update", value, at)
        case TemplateCategoryChange():
            return _category_change(state, event, at)
        case TemplateQuality():
            template = state.templates[event.template_id]
            value = {
                "previous_quality_score": event.previous,
                "new_quality_score": event.new,
                **_named(template),
            }
            return _account_item(template.waba_id, "message_template_quality_update", value, at)
        case NumberQuality():
            number = state.numbers[event.number_id]
            value = {
                "display_phone_number": number.display_phone_number,
                "event": event.event,
                "current_limit": event.current_limit,
            }
            return _account_item(number.waba_id, "phone_number_quality_update", value, at)
        case Capability():
            portfolio = state.portfolio_of(event.waba_id)
            state.portfolios[portfolio.id] = portfolio.model_copy(
                update={"people_in_24_hours": event.people_in_24_hours}
            )
            value = {
                "max_daily_conversations_per_business": event.people_in_24_hours or _NO_LIMIT,
                "max_phone_numbers_per_waba": 25,
            }
            return _account_item(event.waba_id, "business_capability_update", value, at)
        case Raw():
            return Item(event.waba_id, event.field, value=event.value, at=at)
        case ReceiptStatus():
            msg = "a status is told by tell_status"
            raise TypeError(msg)
        case _:
            assert_never(event)


def _inbound(
    state: FakeState,
    event: Reply | Button,
    at: datetime,
    context_id: str | None,
    content: dict[str, Any],
) -> Item:
    """Return a person's message; it counts towards the rate and opens the 24-hour window."""
    number = state.numbers[event.number_id]
    state.limits.count_inbound(number.id, event.sender, state.clock.now())
    state.ledger.inbound.append(Inbound(at, number.id, event.sender, event.text))
    if context_id is not None:
        content["context"] = {"from": number.display_phone_number, "id": context_id}
    person = state.recipient(event.sender)
    return payloads.inbound(number, person, state.new_id(), at, content)


def _category_change(state: FakeState, event: TemplateCategoryChange, at: datetime) -> Item:
    """Return the webhook of a category change, announced or done."""
    before = state.templates[event.template_id]
    if event.is_impending:
        value = {
            **_named(before),
            "new_category": before.category,
            "correct_category": event.new_category,
            "category_update_timestamp": int((at + timedelta(days=1)).timestamp()),
        }
    else:
        state.change_template(event.template_id, category=event.new_category)
        value = {
            **_named(before),
            "previous_category": before.category,
            "new_category": event.new_category,
        }
    return _account_item(before.waba_id, "template_category_update", value, at)


def _named(template: FakeTemplate) -> dict[str, Any]:
    return {
        "message_template_id": int(template.id),
        "message_template_name": template.name,
        "message_template_language": template.language,
    }


def _account_item(waba_id: str, field: str, value: dict[str, Any], at: datetime) -> Item:
    return Item(waba_id, field, value=value, at=at)
