"""What a test or the demo sets up: accounts, people, faults, and webhooks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

__all__ = [
    "Accounts",
    "Fault",
    "FaultRule",
    "Number",
    "Portfolio",
    "Recipient",
    "Settings",
    "StatusStep",
    "Token",
    "Waba",
    "WebhookSettings",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Portfolio(_Model):
    """A business portfolio; its limit is shared by all of its numbers."""

    id: str
    people_in_24_hours: PositiveInt | None = 250
    """250, 2,000, 10,000 or 100,000 at WhatsApp; a test may want it smaller. None: no limit."""


class Waba(_Model):
    """A WhatsApp Business account, which owns numbers and templates."""

    id: str
    portfolio_id: str


class Number(_Model):
    """A business's phone number."""

    id: str
    waba_id: str
    display_phone_number: str
    """Digits only, with the country code."""
    messages_per_second: int = 80
    """20 for a number that is also in the WhatsApp Business app (WA/throughput)."""
    quality_rating: Literal["GREEN", "YELLOW", "RED", "UNKNOWN"] = "GREEN"
    blocked_by: int | None = None
    """An error code: every send is refused with it, and health_status says BLOCKED."""


class Token(_Model):
    """An access token and the accounts that it may use."""

    token: str
    waba_ids: list[str]
    is_valid: bool = True


class Accounts(_Model):
    """Accounts of all kinds; an entry replaces an earlier one with the same id."""

    portfolios: list[Portfolio] = []
    wabas: list[Waba] = []
    numbers: list[Number] = []
    tokens: list[Token] = []


class Recipient(_Model):
    """A person who differs from the default: phone shown, no user id."""

    phone: str
    """Digits only, with the country code."""
    user_id: str | None = None
    """The business-scoped user id (WA/business-scoped-user-ids)."""
    hides_phone: bool = False
    """The person has a user name: webhooks give only the user id."""
    loses_ninth_digit: bool = False
    """The API gives the old form of the number in wa_id, recipient_id and from."""
    name: str = "Cliente"


class Fault(_Model):
    """What happens to a call instead of the ordinary answer."""

    kind: Literal[
        "error",  # an error of the API: nothing is accepted
        "failed_later",  # accepted; a failed webhook with the code instead of the usual statuses
        "gateway_error",  # 502 with HTML: nothing is accepted
        "reset_unread",  # the connection ends before an answer: nothing is accepted
        "accept_and_hang",  # accepted, no answer
        "accept_and_reset",  # accepted, and the connection ends
        "accept_and_gateway_error",  # accepted, 502 with HTML
        "truncated",  # accepted; the answer ends in its middle
        "no_id",  # accepted; 200 without an id
        "held",  # accepted with message_status held_for_quality_assessment, no webhooks
        "paused",  # the same with message_status paused
    ]
    code: int | None = None
    """For error and failed_later."""


class FaultRule(_Model):
    """When a fault happens: all given conditions must be true."""

    fault: Fault
    to: str | None = None
    """Digits of the recipient, either form of the ninth digit."""
    number_id: str | None = None
    call: Annotated[int, Field(ge=1)] | None = None
    """Only the nth call that fits the other conditions, counted since the rule was added."""
    times: Annotated[int, Field(ge=1)] | None = None
    """At most this many calls."""


class StatusStep(_Model):
    """A status that follows an accepted message."""

    status: Literal["sent", "delivered", "read"]
    after_seconds: float = 0


class WebhookSettings(_Model):
    """Where webhooks go, which statuses follow a message, and what goes wrong on the way."""

    url: str | None = None
    app_secret: str = "app-secret"  # noqa: S105 - of a fake
    automatically: bool = False
    """Deliver due webhooks without a call of /_fake/webhooks/deliver."""
    follow_up: list[StatusStep] = []
    """The statuses that every accepted message gets."""
    batch_size: Annotated[int, Field(ge=1)] = 1
    """Items per POST; one POST may hold items of several accounts."""
    shuffles: bool = False
    doubles_percent: Annotated[int, Field(ge=0, le=100)] = 0
    drops_percent: Annotated[int, Field(ge=0, le=100)] = 0
    without_contacts: bool = False
    signature: Literal["right", "wrong", "missing"] = "right"


class Settings(_Model):
    """How the fake behaves."""

    latency_seconds: Annotated[float, Field(ge=0)] = 0
    review: Literal["APPROVED", "PENDING", "REJECTED"] = "PENDING"
    """The status of a new template."""
    marketing_callback_data: Literal["echoed", "dropped", "refused"] = "echoed"
    """Public docs do not say whether /marketing_messages takes biz_opaque_callback_data."""
    webhooks: WebhookSettings = WebhookSettings()
