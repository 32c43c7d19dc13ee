"""Checks that a POST comes from Meta: the header X-Hub-Signature-256 signs the raw bytes.

There may be several app secrets, for rotation: a signature with any of them is valid.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from whatsapp.tokens import Secrets

__all__ = ["AppSecrets", "is_signed"]

_PREFIX = b"sha256="
# Anybody can send wrong signatures; they must not make us read the secrets all the time.
_ASKED_AGAIN_SECONDS = 30.0


def is_signed(raw: bytes, header: bytes | None, secrets: Iterable[str]) -> bool:
    """Return whether the header is the body's signature with one of the secrets.

    Args:
        raw: The body as it came.
        header: The header's value; None: there is none.
        secrets: The current app secrets.

    """
    told = (header or b"").strip()
    if told[: len(_PREFIX)].lower() != _PREFIX:
        return False
    told = told[len(_PREFIX) :].lower()
    # Every secret is always tried, so that the time taken tells nothing.
    results = [
        hmac.compare_digest(hmac.new(key.encode(), raw, hashlib.sha256).hexdigest().encode(), told)
        for key in secrets
    ]
    return any(results)


class AppSecrets:
    """The current app secrets; a rotated secret is used without a restart."""

    def __init__(
        self, names: Sequence[str], secrets: Secrets, *, seconds: Callable[[], float]
    ) -> None:
        """Use the secrets with these names; ``seconds`` is a monotonic clock."""
        self._names, self._secrets, self._seconds = names, secrets, seconds
        self._asked_at: float | None = None

    async def verify(self, raw: bytes, header: bytes | None) -> bool:
        """Return whether a body is signed.

        Raises:
            SecretError: A secret cannot be read, so the body cannot be checked.

        """
        if is_signed(raw, header, await self._current()):
            return True
        if header is None or not self._may_ask_again():
            return False
        changed = [await self._secrets.has_changed(name) for name in self._names]
        return any(changed) and is_signed(raw, header, await self._current())

    async def _current(self) -> list[str]:
        return [await self._secrets.get(name) for name in self._names]

    def _may_ask_again(self) -> bool:
        now = self._seconds()
        if self._asked_at is not None and now - self._asked_at < _ASKED_AGAIN_SECONDS:
            return False
        self._asked_at = now
        return True
