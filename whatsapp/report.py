"""What a sender has done, in numbers; what `vmhub send --once` shows and VMHUB_OPS keeps."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from loader.base.errors import ExitCode
from whatsapp.outcomes import Accepted, NotSent, Refused, Unknown
from whatsapp.targets import WhyNot

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from whatsapp.attempt import Result
    from whatsapp.pauses import Pause

__all__ = ["SendReport"]


@dataclass
class SendReport:
    """Counts since the report began."""

    started_at: datetime
    sent: int = 0
    unknown: int = 0
    """Attempts with an unknown outcome; only a webhook or a person can resolve them."""
    failed: Counter[str] = field(default_factory=Counter)
    """Attempts that WhatsApp refused, by class; not_sent for those that never left."""
    stopped: Counter[str] = field(default_factory=Counter)
    """Targets that were tried but not sent, by reason."""
    errors: int = 0
    """Targets that were not sent because Firestore or a secret could not be read."""
    waiting: Counter[str] = field(default_factory=Counter)
    """Targets found by the last poll, by what they wait for; ``next``: about to be sent."""
    oldest_waiting_at: datetime | None = None
    """When the oldest target that can still be sent was created."""
    open_attempts: int = 0
    """Attempts that are open for longer than a claim lasts."""
    given_up: int = 0
    """Attempts whose outcome stayed unknown for 8 days; they were recorded as failures."""
    pauses: list[Pause] = field(default_factory=list)
    """All pauses that began."""
    broken: dict[str, str] = field(default_factory=dict)
    """By CNPJ: what is wrong with the registry entry."""
    polls: int = 0
    documents_read: int = 0
    writes_sent: int = 0
    people_left: dict[str, int | None] = field(default_factory=dict)
    """By portfolio."""
    money_left: dict[str, float] = field(default_factory=dict)
    """By CNPJ, BRL."""

    def heard(self, result: Result) -> None:
        """Count what became of one target."""
        if result.why_not is not None:
            self.stopped[result.why_not.value] += 1
            return
        match result.answer:
            case Accepted():
                self.sent += 1
            case Refused(error_class=error_class):
                self.failed[error_class.value] += 1
            case NotSent():
                self.failed["not_sent"] += 1
            case Unknown():
                self.unknown += 1

    def saw(self, hindrances: Iterable[tuple[WhyNot | None, datetime | None]]) -> None:
        """Count what a poll found: why each target waits, and since when."""
        self.waiting = Counter()
        self.oldest_waiting_at = None
        for why, created_at in hindrances:
            self.waiting[why.value if why else "next"] += 1
            if why in {WhyNot.EXPIRED, WhyNot.OPEN_ATTEMPT, WhyNot.DISABLED, WhyNot.NO_ACCOUNT}:
                continue
            if created_at is not None:
                self.oldest_waiting_at = min(created_at, self.oldest_waiting_at or created_at)

    def as_json(self) -> dict[str, Any]:
        """Return everything; counters as plain maps."""
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        found = {
            name: dict(value) if isinstance(value, Counter) else value
            for name, value in found.items()
        }
        return found | {"pauses": [asdict(pause) for pause in self.pauses]}

    @property
    def exit_code(self) -> int:
        """Return the exit code of `vmhub send --once`: 3 when a person should look at something."""
        has_trouble = bool(
            self.failed
            or self.unknown
            or self.errors
            or self.pauses
            or self.broken
            or self.given_up
        )
        return ExitCode.PARTLY_FAILED if has_trouble else ExitCode.OK
