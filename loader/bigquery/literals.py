"""GoogleSQL literals."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["timestamp"]


def timestamp(instant: datetime) -> str:
    """Return an instant as a TIMESTAMP literal, to the microsecond."""
    return f"timestamp '{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f+00:00}'"
