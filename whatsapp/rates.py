"""How fast a number may send, and how often to one person. Pure: the time is passed in."""

from __future__ import annotations

__all__ = ["NumberRate", "PairRate", "Ramp"]

# A little more than WhatsApp's 6 seconds, since WhatsApp counts from when a message arrives there.
_PAIR_SECONDS = 6.2
# Share of the allowed rate that is used: the network may bunch messages together in one second.
_SHARE = 0.96
_HALVED_SECONDS = 60.0
_LONGEST_PAIR_WAIT = 4.0**5
_KEPT_PAIRS = 100_000


class NumberRate:
    """Spaces the messages of one number evenly; at half the rate for a minute after a refusal.

    Evenly and not in bursts, because WhatsApp counts messages when they arrive there.
    """

    def __init__(self, per_second: int) -> None:
        """Begin with an idle number."""
        self._per_second = per_second
        self._limit = float(per_second)
        self._halved_at: float | None = None
        self._next = 0.0

    @property
    def limit(self) -> float:
        """Return how many messages per second are allowed at the moment."""
        return self._limit

    def wait(self, now: float) -> float:
        """Take the next turn; return in how many seconds it comes. First come, first served."""
        self._recover(now)
        at = max(now, self._next)
        self._next = at + 1.0 / (self._limit * _SHARE)
        return at - now

    def halve(self, now: float) -> None:
        """Slow down: WhatsApp said that the number sends too fast."""
        self._limit = max(1.0, self._limit / 2)
        self._halved_at = now

    def _recover(self, now: float) -> None:
        if self._halved_at is not None and now - self._halved_at >= _HALVED_SECONDS:
            self._limit = min(float(self._per_second), self._limit * 2)
            self._halved_at = now if self._limit < self._per_second else None


class PairRate:
    """Keeps six seconds between two messages from a number to one phone; families share phones."""

    def __init__(self) -> None:
        """Begin without any message."""
        self._free_at: dict[tuple[str, str], float] = {}

    def wait(self, number: str, person: str, now: float) -> float:
        """Take the next turn for a person; return in how many seconds it comes."""
        at = max(now, self._free_at.get((number, person), now))
        if len(self._free_at) >= _KEPT_PAIRS:
            self._free_at = {key: free for key, free in self._free_at.items() if free > now}
        self._free_at[number, person] = at + _PAIR_SECONDS
        return at - now

    def note(self, number: str, person: str, now: float) -> None:
        """Count the six seconds from the real time of sending, not from the planned turn."""
        key = number, person
        self._free_at[key] = max(self._free_at.get(key, now), now + _PAIR_SECONDS)

    def free(self, number: str, person: str) -> None:
        """Forget a message that WhatsApp did not accept."""
        self._free_at.pop((number, person), None)

    def refused(self, number: str, person: str, times: int, now: float) -> None:
        """Wait longer: WhatsApp refused messages to this person ``times`` times in a row."""
        seconds = max(_PAIR_SECONDS, min(4.0**times, _LONGEST_PAIR_WAIT))
        self._free_at[number, person] = now + seconds


class Ramp:
    """How many messages of a number may be under way: one at first, doubled by each success.

    So an invalid token costs one attempt, not five hundred.
    """

    def __init__(self, *, largest: int) -> None:
        """Begin with one."""
        self._largest = largest
        self._limit = 1
        self.under_way = 0

    @property
    def has_room(self) -> bool:
        """Return whether another message may begin."""
        return self.under_way < self._limit

    def succeeded(self) -> None:
        """Note that WhatsApp accepted a message."""
        self._limit = min(self._largest, self._limit * 2)

    def begin_anew(self) -> None:
        """Go back to one probe."""
        self._limit = 1
