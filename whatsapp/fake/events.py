"""What people and WhatsApp do, at the request of a test or the demo."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it while the program runs
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from whatsapp.fake.templates import Category, TemplateStatus  # noqa: TC001 - the same

__all__ = [
    "Button",
    "Capability",
    "NumberQuality",
    "Preference",
    "Raw",
    "ReceiptStatus",
    "Reply",
    "TemplateCategoryChange",
    "TemplateQuality",
    "TemplateStatusChange",
    "WebhookEvent",
    "webhook_event",
]


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    at: datetime | None = None
    """The event's own instant; None: now."""
    after_seconds: float = 0
    """How much later the webhook is due, by the fake's clock."""


class ReceiptStatus(_Event):
    """What became of a message."""

    kind: Literal["status"]
    message_id: str
    status: Literal["sent", "delivered", "read", "failed"]
    error_code: int | None = None
    """For failed."""


class _Inbound(_Event):
    number_id: str
    sender: str
    """Digits of the person, with the country code."""


class Reply(_Inbound):
    """Words that a person writes."""

    kind: Literal["reply"]
    text: str
    context_id: str | None = None
    """The message that the person quotes."""


class Button(_Inbound):
    """A tap on a quick reply of a template."""

    kind: Literal["button"]
    context_id: str
    text: str
    payload: str | None = None
    """None: the button's text, as when the request to send named no payload."""


class Preference(_Inbound):
    """A person stops or resumes marketing messages in the app."""

    kind: Literal["preference"]
    value: Literal["stop", "resume"]


class TemplateStatusChange(_Event):
    """WhatsApp approves, pauses, disables or rejects a template."""

    kind: Literal["template_status"]
    template_id: str
    status: TemplateStatus
    reason: str = "NONE"
    title: str | None = None
    """FIRST_PAUSE, SECOND_PAUSE, UNPAUSE, …"""


class TemplateCategoryChange(_Event):
    """WhatsApp has changed the category of a template."""

    kind: Literal["template_category"]
    template_id: str
    new_category: Category
    is_impending: bool = False
    """Only announced: it will change in a day, and has not yet."""


class TemplateQuality(_Event):
    """People like a template less or more than before."""

    kind: Literal["template_quality"]
    template_id: str
    previous: Literal["GREEN", "YELLOW", "RED", "UNKNOWN"]
    new: Literal["GREEN", "YELLOW", "RED", "UNKNOWN"]


class NumberQuality(_Event):
    """A number's throughput or state has changed."""

    kind: Literal["number_quality"]
    number_id: str
    event: Literal[
        "ONBOARDING", "THROUGHPUT_UPGRADE", "FLAGGED", "UNFLAGGED", "DOWNGRADE", "UPGRADE"
    ]
    current_limit: str


class Capability(_Event):
    """The limit of a portfolio has changed."""

    kind: Literal["capability"]
    waba_id: str
    people_in_24_hours: Literal[250, 2_000, 10_000, 100_000] | None


class Raw(_Event):
    """Anything else, including content that no webhook should have."""

    kind: Literal["raw"]
    waba_id: str
    field: str
    value: Any


WebhookEvent = Annotated[
    ReceiptStatus
    | Reply
    | Button
    | Preference
    | TemplateStatusChange
    | TemplateCategoryChange
    | TemplateQuality
    | NumberQuality
    | Capability
    | Raw,
    Field(discriminator="kind"),
]

webhook_event: TypeAdapter[WebhookEvent] = TypeAdapter(WebhookEvent)
