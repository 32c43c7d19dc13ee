"""What our webhook has taken, read from WhatsApp's own JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from whatsapp.fake.phones import same_person

__all__ = ["STOP_WORDS", "HeardStatus", "HeardWords", "heard_status", "heard_words"]

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
        same_person(said["from"]),
        said["button"]["text"] if is_button else said["text"]["body"],
        is_button,
        datetime.fromtimestamp(int(said["timestamp"]), UTC),
        said.get("context", {}).get("id"),
    )
