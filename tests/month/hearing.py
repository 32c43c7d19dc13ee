"""What our webhook has taken, read from WhatsApp's own JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from whatsapp.fake.phones import same_person

__all__ = [
    "STOP_WORDS",
    "USER_ID",
    "HeardStatus",
    "HeardWords",
    "heard_status",
    "heard_words",
]

USER_ID = "BR."
"""Before a person's number: the month's ids of people who hide theirs."""

STOP_WORDS = ("SAIR", "Parar promoções")
"""What people write who want no more messages; the second is a button."""


@dataclass(frozen=True)
class HeardStatus:
    """A status of a message that our webhook has taken."""

    status: str
    at: datetime
    code: str | None
    has_price: bool
    names_attempt: bool
    known_at: datetime
    """When it was taken."""


@dataclass(frozen=True)
class HeardWords:
    """What somebody wrote, and our webhook has taken."""

    number_id: str
    person: str
    hides_phone: bool
    text: str
    is_button: bool
    at: datetime
    context_id: str | None


def heard_status(said: dict[str, Any], known_at: datetime) -> HeardStatus:
    """Return what a status of a webhook says."""
    errors = said.get("errors")
    return HeardStatus(
        said["status"],
        datetime.fromtimestamp(int(said["timestamp"]), UTC),
        str(errors[0]["code"]) if errors else None,
        "pricing" in said,
        "biz_opaque_callback_data" in said,
        known_at,
    )


def heard_words(said: dict[str, Any], number_id: str) -> HeardWords:
    """Return what a message of a webhook says."""
    is_button = said["type"] == "button"
    return HeardWords(
        number_id,
        _person(said),
        "from" not in said,
        said["button"]["text"] if is_button else said["text"]["body"],
        is_button,
        datetime.fromtimestamp(int(said["timestamp"]), UTC),
        said.get("context", {}).get("id"),
    )


def _person(said: dict[str, Any]) -> str:
    if "from" in said:
        return same_person(said["from"])
    user_id: str = said["from_user_id"]
    return user_id.removeprefix(USER_ID)
