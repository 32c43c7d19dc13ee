"""In which order the statuses of an attempt follow each other: only forward. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["DELIVERED", "FAILED", "READ", "SENDING", "SENT", "UNKNOWN", "is_arrived", "is_forward"]

SENDING, UNKNOWN, SENT, FAILED = "SENDING", "UNKNOWN", "SENT", "FAILED"
DELIVERED, READ = "DELIVERED", "READ"

# A message of which somebody said that it failed may have arrived all the same.
_ORDER = {
    status: rank
    for rank, status in enumerate((SENDING, UNKNOWN, SENT, FAILED, DELIVERED, READ), start=1)
}


def is_forward(before: object, after: str) -> bool:
    """Return whether a status is news beside the one that is known."""
    return _ORDER[after] > _ORDER.get(str(before), 0)


def is_arrived(entry: Mapping[str, Any]) -> bool:
    """Return whether an attempt's message has reached the person."""
    return entry.get("status") in {DELIVERED, READ}
