"""The checks' results, and the list that runs every check that can be run."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from loader.base.errors import ConfigurationError, ExitCode, ServiceError, VmhubError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from loader.base.cnpj import Cnpj

__all__ = ["Check", "CheckReport", "Checklist", "Finding", "State"]


class State(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARNING = "warning"
    """It works, but costs more or brings less than it should."""
    FIX = "fix"
    """Something must be fixed."""
    FAILED = "failed"
    """A service did not answer, so nobody knows."""
    SKIPPED = "skipped"
    """Not looked at, since an earlier check did not pass."""


@dataclass(frozen=True)
class Finding:
    """What a check that could be made has found."""

    found: str
    fix: str = ""
    """What should be done about it, which makes it a warning; empty: nothing."""
    figures: dict[str, Any] = field(default_factory=dict)
    """The same in numbers and instants, for programs."""


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, what was found, and what to do."""

    name: str
    """The kind of check, such as columns; docs/check.md explains each."""
    about: str
    """The dataset, table or document that it is about."""
    state: State
    found: str
    fix: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def has_passed(self) -> bool:
        """Whether what builds upon it can be looked at."""
        return self.state in (State.OK, State.WARNING)


@dataclass(frozen=True)
class CheckReport:
    """All checks of a laundromat, in the order in which they were made."""

    cnpj: Cnpj
    as_of: datetime
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """Return how the process is to end; a service that is silent comes first."""
        states = {check.state for check in self.checks}
        if State.FAILED in states:
            return ExitCode.FAILED
        return ExitCode.CONFIGURATION if State.FIX in states else ExitCode.OK


class Checklist:
    """Runs checks one after the other; one that goes wrong ends no other."""

    def __init__(self) -> None:
        """Begin without checks."""
        self.checks: list[Check] = []
        self._silent: set[str] = set()

    def add(
        self,
        name: str,
        about: str,
        attempt: Callable[[], Finding],
        *,
        service: str,
        needs: Iterable[Check] = (),
    ) -> Check:
        """Make a check, unless it cannot be made, and return it.

        Args:
            name: The kind of check.
            about: What it is about.
            attempt: Looks; an error of ours that it raises is the finding.
            service: Who is asked. One that has been silent once is not waited for again.
            needs: Checks that must have passed.

        """
        check = self._make(name, about, attempt, service, needs)
        self.checks.append(check)
        return check

    def _make(
        self,
        name: str,
        about: str,
        attempt: Callable[[], Finding],
        service: str,
        needs: Iterable[Check],
    ) -> Check:
        if service in self._silent:
            return Check(name, about, State.SKIPPED, f"not checked: {service} does not answer")
        failed = next((need for need in needs if not need.has_passed), None)
        if failed is not None:
            reason = f"not checked: needs {failed.name} {failed.about}, see there"
            return Check(name, about, State.SKIPPED, reason)
        try:
            finding = attempt()
        except VmhubError as error:
            if error.is_transient:
                self._silent.add(service)
            return Check(name, about, _state_of(error), error.message, error.hint)
        state = State.WARNING if finding.fix else State.OK
        return Check(name, about, state, finding.found, finding.fix, finding.figures)


def _state_of(error: VmhubError) -> State:
    # Firestore's refusals are ServiceErrors, too; those with a fix are not for it to fix.
    is_refusal = isinstance(error, ServiceError) and error.hint and not error.is_transient
    return State.FIX if is_refusal or isinstance(error, ConfigurationError) else State.FAILED
