"""Handles a request to send: refused, accepted, or accepted without a proper answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from whatsapp.fake import payloads
from whatsapp.fake.errors import ApiError
from whatsapp.fake.ledger import Call, Event, Message
from whatsapp.fake.phones import dialled, same_person
from whatsapp.fake.requests import checked_parameters, read_request

if TYPE_CHECKING:
    from whatsapp.fake.config import Fault, Number, StatusStep
    from whatsapp.fake.requests import Endpoint, SendRequest
    from whatsapp.fake.state import FakeState

__all__ = ["Answer", "send", "tell_status"]

_REFUSING = {"gateway_error", "reset_unread"}
_STOPPED = 131050


@dataclass(frozen=True)
class Answer:
    """The JSON answer for the caller, unless a fault replaces it."""

    body: dict[str, Any]
    fault: str | None = None


def send(
    state: FakeState, number_id: str, endpoint: Endpoint, authorization: str | None, body: object
) -> Answer:
    """Accept a message, or raise an ApiError; every call is recorded.

    Only token and number are checked before the faults, so a rule for a recipient applies to every
    call for that person.
    """
    now = state.clock.now()
    to: str | None = None
    outcome = "accepted"
    try:
        number = state.number(number_id)
        state.authorize(authorization, number.waba_id)
        to = _recipient_of(body)
        fault = state.faults.meet(number_id, to)
        if fault is not None and fault.kind in _REFUSING:
            outcome = fault.kind
            return Answer({}, fault.kind)
        _refuse(number, fault)
        message = _accepted(state, number, endpoint, read_request(endpoint, body), fault)
        return Answer(_answer(state, message, body), fault.kind if fault else None)
    except ApiError as error:
        outcome = str(error.code)
        raise
    finally:
        state.ledger.calls.append(Call(now, number_id, endpoint, to, outcome))


def tell_status(
    state: FakeState,
    message: Message,
    status: str,
    *,
    at: Any = None,
    after: timedelta = timedelta(),
    error_code: int | None = None,
) -> None:
    """Record a status and queue its webhook."""
    at = at or state.clock.now() + after
    known = [event.status for event in message.events]
    # Pricing is part of "sent", and of the first of "delivered" and "read".
    with_pricing = status == "sent" or not {"delivered", "read"} & set(known)
    is_lite = message.endpoint == "marketing_messages"
    item = payloads.status(
        message,
        state.numbers[message.number_id],
        state.recipient(message.to),
        status,
        at,
        error_code=error_code,
        with_pricing=with_pricing,
        echoes_callback_data=not is_lite or state.settings.marketing_callback_data == "echoed",
    )
    state.ledger.add_event(message.id, Event(status, at, error_code))
    state.webhooks.add(item, state.clock.now() + after, state.settings.webhooks)


def _refuse(number: Number, fault: Fault | None) -> None:
    """Refuse what a rule refuses, and everything from a blocked number."""
    if fault is not None and fault.kind == "error":
        raise ApiError(131000 if fault.code is None else fault.code)
    if number.blocked_by is not None:
        raise ApiError(number.blocked_by)


def _recipient_of(body: object) -> str | None:
    """Return the recipient of a request, if it can be read."""
    to = body.get("to") if isinstance(body, dict) else None
    try:
        return dialled(to) if isinstance(to, str) else None
    except ApiError:
        return None


def _accepted(
    state: FakeState, number: Number, endpoint: Endpoint, request: SendRequest, fault: Fault | None
) -> Message:
    """Check everything else, and record the message."""
    now = state.clock.now()
    to = dialled(request.to)
    if same_person(to) == same_person(number.display_phone_number):
        raise ApiError(131021, "Recipient phone number cannot be the sender's")
    refuses_data = state.settings.marketing_callback_data == "refused"
    if endpoint == "marketing_messages" and refuses_data and request.callback_data is not None:
        raise ApiError(100, 'Unexpected key "biz_opaque_callback_data"')
    portfolio = state.portfolio_of(number.waba_id)
    held = {"held": "held_for_quality_assessment", "paused": "paused"}
    kind = fault.kind if fault else None
    known: dict[str, Any] = {
        "id": state.new_id(),
        "at": now,
        "number_id": number.id,
        "waba_id": number.waba_id,
        "portfolio_id": portfolio.id,
        "endpoint": endpoint,
        "to": to,
        "callback_data": request.callback_data,
        "message_status": held.get(kind or "", "accepted"),
        "answer": kind or "ok",
    }
    if request.kind == "text":
        if not state.limits.has_window(number.id, to, now):
            raise ApiError(131047, "More than 24 hours have passed since the customer last replied")
        message = Message(**known, text=request.text)
    else:
        message = Message(**known, **_template_part(state, number, endpoint, request))
    state.limits.check(number, portfolio, to, now)
    state.limits.count(number, portfolio, to, now)
    state.ledger.add(message)
    _follow_up(state, message, fault)
    return message


def _template_part(
    state: FakeState, number: Number, endpoint: Endpoint, request: SendRequest
) -> dict[str, Any]:
    """Return what the template adds to a message."""
    template = state.sendable_template(number.waba_id, request.template, request.language)
    if (template.category == "MARKETING") is not (endpoint == "marketing_messages"):
        raise ApiError(131063, f"Templates of {template.category} do not go to /{endpoint}")
    values = checked_parameters(template, request)
    return {
        "text": template.rendered(values),
        "template": template.name,
        "language": template.language,
        "category": template.category,
        "parameters": values,
        "buttons": template.buttons,
    }


def _follow_up(state: FakeState, message: Message, fault: Fault | None) -> None:
    """Queue the statuses that follow a message."""
    if message.message_status != "accepted":
        return
    code = fault.code if fault is not None and fault.kind == "failed_later" else None
    if fault is not None and fault.kind == "failed_later" and code is None:
        code = 131026
    if message.category == "MARKETING" and (
        (message.waba_id, same_person(message.to)) in state.stopped
    ):
        code = _STOPPED
    if code is not None:
        tell_status(state, message, "failed", error_code=code)
        return
    step: StatusStep
    for step in state.settings.webhooks.follow_up:
        current = state.ledger.find(message.id) or message
        tell_status(state, current, step.status, after=timedelta(seconds=step.after_seconds))


def _answer(state: FakeState, message: Message, body: object) -> dict[str, Any]:
    """Return the answer of an accepted message (OAS MessageResponsePayload)."""
    person = state.recipient(message.to)
    contact = {"input": body["to"] if isinstance(body, dict) else message.to}
    told = payloads.contact(person)
    contact |= {key: told[key] for key in ("wa_id", "user_id") if key in told}
    sent: dict[str, Any] = {"id": message.id}
    if message.category is not None:
        sent["message_status"] = message.message_status
    if message.answer == "no_id":
        del sent["id"]
    return {"messaging_product": "whatsapp", "contacts": [contact], "messages": [sent]}
