"""Pauses: what does not send for a while, and why. A template, number, token, portfolio, or all.

When a pause is over, one message is sent as a probe. If it succeeds, the rest follows; if not, a
longer pause begins.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from whatsapp.error_classes import ErrorClass
from whatsapp.outcomes import Accepted, NotSent, Refused, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whatsapp.outcomes import Answer

__all__ = ["Breaker", "Pause", "PauseKind", "Pauses", "Scope"]


class PauseKind(StrEnum):
    """What is paused."""

    TEMPLATE = "template"
    NUMBER = "number"
    TOKEN = "token"  # noqa: S105 - a kind of pause, not a secret
    PORTFOLIO = "portfolio"
    SENDER = "sender"
    BREAKER = "breaker"


_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
# How long the first pause is, the second and so on; the last length repeats. A success starts over
# with the first.
_LENGTHS = {
    PauseKind.TEMPLATE: (3 * _HOUR, 6 * _HOUR),
    PauseKind.NUMBER: (_HOUR,),
    PauseKind.TOKEN: (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR),
    PauseKind.PORTFOLIO: (6 * _HOUR,),
    PauseKind.SENDER: (_HOUR,),
    PauseKind.BREAKER: (_MINUTE,),
}
_NO_CONNECTION = (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR)
_ALIKE = 3


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause."""

    kind: PauseKind
    key: str
    """The id of the template, number, …; never a token."""
    reason: str
    """A code, or a few words."""
    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Scope:
    """Everything that one message depends on, by its key."""

    template: str
    """Account, name and language."""
    number: str
    token: str
    """The secret's name."""
    portfolio: str

    def parts(self) -> tuple[tuple[PauseKind, str], ...]:
        """Return the things that may be paused, the widest first."""
        return (
            (PauseKind.SENDER, ""),
            (PauseKind.BREAKER, ""),
            (PauseKind.PORTFOLIO, self.portfolio),
            (PauseKind.TOKEN, self.token),
            (PauseKind.NUMBER, self.number),
            (PauseKind.TEMPLATE, self.template),
        )


class Pauses:
    """The current pauses; answers of WhatsApp begin and end them."""

    def __init__(self) -> None:
        """Begin without any."""
        self._pauses: dict[tuple[PauseKind, str], Pause] = {}
        self._begun: dict[tuple[PauseKind, str], int] = {}
        self._contents: dict[tuple[str, int], int] = {}
        self._faults = 0
        self._proven_tokens: set[str] = set()
        self.news: list[Pause] = []
        """Pauses that nobody has recorded yet."""

    def holding(self, scope: Scope, now: datetime) -> Pause | None:
        """Return the pause that holds a message back; the widest, if there are several."""
        for key in scope.parts():
            pause = self._pauses.get(key)
            if pause is not None and pause.until > now:
                return pause
        return None

    def is_paused(self, kind: PauseKind, key: str, now: datetime) -> bool:
        """Return whether one thing is paused."""
        pause = self._pauses.get((kind, key))
        return pause is not None and pause.until > now

    def current(self, now: datetime) -> list[Pause]:
        """Return all pauses that are not over."""
        return [pause for pause in self._pauses.values() if pause.until > now]

    def unproven(self, scope: Scope) -> list[tuple[PauseKind, str]]:
        """Return the parts that are not known to work: they get one probe at a time.

        These are parts that were paused, and a token that has not sent anything yet.
        """
        return [
            part
            for part in scope.parts()
            if part in self._begun
            or (part[0] is PauseKind.TOKEN and part[1] not in self._proven_tokens)
        ]

    def pause(
        self,
        kind: PauseKind,
        key: str,
        reason: str,
        now: datetime,
        lengths: Iterable[timedelta] = (),
    ) -> Pause:
        """Begin a pause; a current one is left as it is."""
        holding = self._pauses.get((kind, key))
        if holding is not None and holding.until > now:
            return holding
        steps = tuple(lengths) or _LENGTHS[kind]
        times = self._begun.get((kind, key), 0)
        self._begun[kind, key] = times + 1
        until = now + steps[min(times, len(steps) - 1)]
        pause = self._pauses[kind, key] = Pause(kind, key, reason, now, until)
        self.news.append(pause)
        return pause

    def end(self, kind: PauseKind, key: str) -> None:
        """End a pause early: its cause is gone."""
        self._pauses.pop((kind, key), None)

    def heard(self, scope: Scope, answer: Answer, now: datetime) -> Pause | None:
        """Learn from a message's last answer; return the pause that begins with it."""
        match answer:
            case Accepted():
                self._succeeded(scope)
            case NotSent():
                reason = "no connection"
                return self.pause(PauseKind.NUMBER, scope.number, reason, now, _NO_CONNECTION)
            case Refused():
                return self._refused(scope, answer, now)
            case Unknown():
                pass
        return None

    def _succeeded(self, scope: Scope) -> None:
        self._proven_tokens.add(scope.token)
        for key in scope.parts():
            self._begun.pop(key, None)
            self._pauses.pop(key, None)
        self._faults = 0
        for known in [known for known in self._contents if known[0] == scope.template]:
            del self._contents[known]

    def _refused(self, scope: Scope, answer: Refused, now: datetime) -> Pause | None:
        reason = str(answer.code)
        match answer.error_class:
            case ErrorClass.TEMPLATE | ErrorClass.ROUTE:
                return self.pause(PauseKind.TEMPLATE, scope.template, reason, now)
            case ErrorClass.CONTENT:
                known = scope.template, answer.code
                self._contents[known] = self._contents.get(known, 0) + 1
                if self._contents[known] >= _ALIKE:
                    self._contents[known] = 0
                    return self.pause(PauseKind.TEMPLATE, scope.template, reason, now)
            case ErrorClass.LAUNDROMAT:
                return self.pause(PauseKind.NUMBER, scope.number, reason, now)
            case ErrorClass.TOKEN:
                return self.pause(PauseKind.TOKEN, scope.token, reason, now)
            case ErrorClass.PORTFOLIO:
                return self.pause(PauseKind.PORTFOLIO, scope.portfolio, reason, now)
            case ErrorClass.SENDER:
                self._faults += 1
                if self._faults >= _ALIKE:
                    self._faults = 0
                    return self.pause(PauseKind.SENDER, "", reason, now)
        return None


class Breaker:
    """Stops everything when half of the last answers are unknown."""

    def __init__(self, *, size: int = 20, share: float = 0.5) -> None:
        """Look at the last ``size`` answers; open when this share of them is unknown."""
        self._recent: deque[bool] = deque(maxlen=size)
        self._share = share

    def heard(self, answer: Answer) -> bool:
        """Count an answer; return whether everything must stop.

        One answer with a known outcome closes the breaker, and the count starts again.
        """
        is_unknown = isinstance(answer, Unknown)
        was_open = self.is_open
        self._recent.append(is_unknown)
        if was_open and not is_unknown:
            self._recent.clear()
        return self.is_open

    @property
    def is_open(self) -> bool:
        """Return whether too many answers are unknown."""
        is_full = len(self._recent) == self._recent.maxlen
        return is_full and sum(self._recent) >= self._share * len(self._recent)
