"""Access tokens: from Secret Manager by name, or from an environment variable.

A token is kept for only some minutes, so that a rotated one is used without a restart. It is never
written to an error, log or document.
"""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING

from google.api_core import exceptions as google_errors
from google.api_core.retry import Retry, if_transient_error
from google.auth.exceptions import GoogleAuthError

from loader.base.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.cloud.secretmanager import SecretManagerServiceClient

__all__ = ["SecretError", "Secrets", "read_secret"]

_KEPT_SECONDS = 300.0
_MANAGED = re.compile(r"projects/[^/]+/secrets/[^/]+/versions/[^/]+")
# A version that is disabled or destroyed is a FailedPrecondition.
_REFUSALS = (
    google_errors.PermissionDenied,
    google_errors.NotFound,
    google_errors.FailedPrecondition,
    google_errors.InvalidArgument,
)
# Short: the client's own minute of retries would hold up every laundromat.
_RETRY = Retry(predicate=if_transient_error, initial=0.2, timeout=3.0)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


class SecretError(ServiceError):
    """A secret cannot be read."""


def _secret_manager() -> SecretManagerServiceClient:
    # Imported here: only the real service needs it.
    from google.cloud import secretmanager  # noqa: PLC0415

    return secretmanager.SecretManagerServiceClient()


def read_secret(
    name: str,
    variables: Mapping[str, str] | None = None,
    *,
    connect: Callable[[], SecretManagerServiceClient] = _secret_manager,
) -> str:
    """Return a secret.

    Args:
        name: ``projects/…/secrets/…/versions/…``, or the name of an environment variable.
        variables: The environment; None: this process's.
        connect: Returns a client of Secret Manager.

    Raises:
        SecretError: It cannot be read; the message holds only its name.

    """
    if _MANAGED.fullmatch(name):
        return _managed(name, connect)
    if not _VARIABLE.fullmatch(name):
        # The name is not repeated: somebody may have put the token itself there.
        message = "a tokenSecret is neither a version of Secret Manager nor a variable's name"
        raise SecretError(message, hint="write projects/P/secrets/S/versions/latest")
    value = (os.environ if variables is None else variables).get(name, "").strip()
    if not value:
        message = f"the environment variable {name} is not set"
        raise SecretError(message, hint="it holds a secret of WhatsApp; docs/sending.md")
    return value


def _managed(name: str, connect: Callable[[], SecretManagerServiceClient]) -> str:
    try:
        version = connect().access_secret_version(name=name, retry=_RETRY, timeout=20.0)
        value: str = version.payload.data.decode().strip()
    except UnicodeDecodeError:
        message = f"{name} is no text"
        raise SecretError(message, hint="add a version that holds the access token") from None
    except _REFUSALS as error:
        message = f"{name} cannot be read ({type(error).__name__})"
        hint = (
            "it needs an enabled version, and the service account "
            "roles/secretmanager.secretAccessor on it"
        )
        raise SecretError(message, hint=hint) from None
    except (google_errors.GoogleAPICallError, google_errors.RetryError, GoogleAuthError) as error:
        message = f"{name} cannot be read ({type(error).__name__})"
        raise SecretError(message, is_transient=True) from None
    if not value:
        message = f"{name} is empty"
        raise SecretError(message, hint="add a version that holds the access token")
    return value


async def _read_in_thread(name: str) -> str:
    return await asyncio.to_thread(read_secret, name)


class Secrets:
    """Secrets, each kept for some minutes after it was read."""

    def __init__(
        self, *, clock: Callable[[], float], read: Callable[[str], Awaitable[str]] | None = None
    ) -> None:
        """Begin without any secret; ``clock`` is monotonic, in seconds."""
        self._clock, self._read = clock, read or _read_in_thread
        self._kept: dict[str, tuple[float, str]] = {}

    async def get(self, name: str) -> str:
        """Return a secret; it is read again when the kept value is some minutes old.

        Raises:
            SecretError: It cannot be read.

        """
        kept = self._kept.get(name)
        if kept is not None and self._clock() - kept[0] < _KEPT_SECONDS:
            return kept[1]
        value = await self._read(name)
        self._kept[name] = self._clock(), value
        return value

    async def has_changed(self, name: str) -> bool:
        """Read a secret again; return whether it has changed."""
        before = self._kept.pop(name, (0.0, None))[1]
        try:
            return await self.get(name) != before
        except SecretError:
            return False
