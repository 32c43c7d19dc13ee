"""The machine's time, and a check for instants in the future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from loader.base.errors import ConfigurationError

__all__ = ["TOLERANCE", "check_has_come", "minute_text", "now"]

TOLERANCE = timedelta(minutes=5)
"""How much two clocks may differ."""


def now() -> datetime:
    """Return the machine's time, in UTC."""
    return datetime.now(UTC)


def minute_text(instant: datetime | None) -> str:
    """Return a UTC instant to the minute, for people; a dash for None."""
    return "-" if instant is None else f"{instant:%Y-%m-%d %H:%MZ}"


def check_has_come(instant: datetime, time: datetime, clock: str) -> None:
    """Raise a ConfigurationError if a run's instant is in the future.

    Such a run would move watermarks past documents that senders write later, and would send
    targets of another day.

    Args:
        instant: The run's instant.
        time: The current time.
        clock: The source of the current time, for the error.

    """
    if instant > time + TOLERANCE:
        message = (
            f"{clock} says that it is {time:%Y-%m-%d %H:%M:%SZ}, and "
            f"the run's instant {instant:%Y-%m-%d %H:%M:%SZ} has not come yet"
        )
        raise ConfigurationError(
            message, hint="set this machine's clock; for another day there is `vmhub preview`"
        )
