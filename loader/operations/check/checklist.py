"""The results of checks, and the list that runs every check that can run."""

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
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    """It works, but costs more or gives less than it should."""
    FIX = "fix"
    """Something must be fixed."""
    FAILED = "failed"
    """A service did not answer, so the result is unknown."""
    SKIPPED = "skipped"
    """Not checked, since an earlier check did not pass."""


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    found: str
    fix: str = ""
    """What to do about it, which makes it a warning; empty: nothing."""
    figures: dict[str, Any] = field(default_factory=dict)
    """The numbers and instants of the finding, for programs."""


@dataclass(frozen=True)
class Check:
    """One line: what was checked, what was found, and what to do."""

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
        """Whether checks that depend on it can run."""
        return self.state in (State.OK, State.WARNING)


@dataclass(frozen=True)
class CheckReport:
    """All checks of a laundromat, in the order in which they were made."""

    cnpj: Cnpj
    as_of: datetime
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """Return the exit code of the process; a service that does not answer comes first."""
        states = {check.state for check in self.checks}
        if State.FAILED in states:
            return ExitCode.FAILED
        return ExitCode.CONFIGURATION if State.FIX in states else ExitCode.OK


class Checklist:
    """Runs checks one after another; a failed one does not stop the others."""

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
        """Run a check if it can run, and return its result.

        Args:
            name: The kind of check.
            about: What is checked.
            attempt: Does the check; an error of ours that it raises becomes the finding.
            service: The service that is asked. After one silence it is not asked again.
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
    # Refusals by Firestore are ServiceErrors, too; with a hint they are ours to fix.
    is_refusal = isinstance(error, ServiceError) and error.hint and not error.is_transient
    return State.FIX if is_refusal or isinstance(error, ConfigurationError) else State.FAILED
