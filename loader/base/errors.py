"""The one family of errors: what went wrong, how to fix it, and how the process ends.

Exit codes are part of the command line's contract: 1 failed, 2 usage or configuration,
3 partly failed. Messages name the thing and the place, and never hold a name, phone or cpf.
"""

from __future__ import annotations

from enum import IntEnum

from loader.base.text import safe_text

__all__ = [
    "ConfigurationError",
    "ExitCode",
    "NotFoundError",
    "RunError",
    "ServiceError",
    "VmhubError",
    "exit_code_of",
    "reason_of",
]


class ExitCode(IntEnum):
    """How a `vmhub` process ends."""

    OK = 0
    FAILED = 1
    CONFIGURATION = 2
    PARTLY_FAILED = 3
    INTERRUPTED = 130


class VmhubError(Exception):
    """Anything that ends a command, with the fix in ``hint``."""

    exit_code = ExitCode.FAILED
    is_transient = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the message and the hint apart, so that each can be shown in its own way."""
        # Names and ids from outside can be part of them: one line, and nothing a terminal acts on.
        self.message = safe_text(message)
        self.hint = safe_text(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        """Return one line: the message and, behind it, the fix."""
        return f"{self.message}: {self.hint}" if self.hint else self.message


class ConfigurationError(VmhubError):
    """The command, a setting, a table or this machine is set up wrong."""

    exit_code = ExitCode.CONFIGURATION


class NotFoundError(ConfigurationError):
    """A dataset or table does not exist."""


class RunError(VmhubError):
    """The work itself failed, and running it again unchanged would fail again."""


class ServiceError(VmhubError):
    """A service did not answer as it should."""

    def __init__(self, message: str, *, hint: str = "", is_transient: bool = False) -> None:
        """Remember whether the same call may succeed later."""
        super().__init__(message, hint=hint)
        self.is_transient = is_transient


def reason_of(error: BaseException | None) -> str | None:
    """Return the text of one of our errors; None for others, which can quote personal data."""
    return error.message if isinstance(error, VmhubError) else None


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of a process that ends with this error."""
    if isinstance(error, VmhubError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return ExitCode.FAILED
