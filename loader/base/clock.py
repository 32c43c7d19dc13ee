"""The machine's time, and instants that have not come yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from loader.base.errors import ConfigurationError

__all__ = ["TOLERANCE", "check_has_come", "minute_text", "now"]

TOLERANCE = timedelta(minutes=5)
"""How far two clocks may be apart."""


def now() -> datetime:
    """Return the machine's time, in UTC."""
    return datetime.now(UTC)


def minute_text(instant: datetime | None) -> str:
    """Return an instant of UTC to the minute, for a person; a dash when there is none."""
    return "-" if instant is None else f"{instant:%Y-%m-%d %H:%MZ}"


def check_has_come(instant: datetime, time: datetime, clock: str) -> None:
    """Raise a ConfigurationError when the instant that a run is about has not come yet.

    With it, watermarks would move past what senders are still to write, and targets of another day
    would go out.

    Args:
        instant: The run's.
        time: What the time is.
        clock: Who says so.

    """
    if instant > time + TOLERANCE:
        message = (
            f"{clock} says that it is {time:%Y-%m-%d %H:%M:%SZ}, and "
            f"the run's instant {instant:%Y-%m-%d %H:%M:%SZ} has not come yet"
        )
        raise ConfigurationError(
            message, hint="set this machine's clock; for another day there is `vmhub preview`"
        )
