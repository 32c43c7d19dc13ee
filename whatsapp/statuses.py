"""The order of an attempt's statuses; they only move forward. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = [
    "DELIVERED",
    "FAILED",
    "READ",
    "SENDING",
    "SENT",
    "UNKNOWN",
    "is_arrived",
    "is_forward",
    "newest_arrived",
]

SENDING, UNKNOWN, SENT, FAILED = "SENDING", "UNKNOWN", "SENT", "FAILED"
DELIVERED, READ = "DELIVERED", "READ"

# DELIVERED comes after FAILED: a message that was reported as failed may still have arrived.
_ORDER = {
    status: rank
    for rank, status in enumerate((SENDING, UNKNOWN, SENT, FAILED, DELIVERED, READ), start=1)
}


def is_forward(before: object, after: str) -> bool:
    """Return whether a status comes after the known one."""
    return _ORDER[after] > _ORDER.get(str(before), 0)


def is_arrived(entry: Mapping[str, Any]) -> bool:
    """Return whether an attempt's message has reached the person."""
    return entry.get("status") in {DELIVERED, READ}


def newest_arrived(log: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the last attempt whose message has reached the person; None: none has.

    The target's own status, message id and receipts are about this attempt. The next one, if it was
    under way, may have ended in any way.
    """
    return next((entry for entry in reversed([*log]) if is_arrived(entry)), None)
