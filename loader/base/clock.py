"""The machine's time."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["minute_text", "now"]


def now() -> datetime:
    """Return the machine's time, in UTC."""
    return datetime.now(UTC)


def minute_text(instant: datetime | None) -> str:
    """Return an instant of UTC to the minute, for a person; a dash when there is none."""
    return "-" if instant is None else f"{instant:%Y-%m-%d %H:%MZ}"
