"""The machine's time."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["now"]


def now() -> datetime:
    """Return the machine's time, in UTC."""
    return datetime.now(UTC)
