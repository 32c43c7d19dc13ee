"""Which laundromats a number or an account belongs to, as the registry says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from loader.base.errors import ConfigurationError
from whatsapp.accounts import Account, read_account

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Directory", "Tenant"]

_KEPT_SECONDS = 60.0
# An unknown number may be new, but not every POST with one may read the whole registry.
_ASKED_AGAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Tenant:
    """A laundromat with its number. It may be inactive: people can still opt out."""

    cnpj: str
    number_id: str
    waba_id: str
    portfolio_id: str
    name: str
    keeps_replies: bool
    account: Account | None
    """Its sending account; None: it sends nothing."""


class RegistryStore(Protocol):
    """The part of `whatsapp.webhook.store.WebhookStore` that the directory needs."""

    async def registry(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the registry entries: CNPJ and fields."""


class Directory:
    """The registry, kept for a short time."""

    def __init__(self, store: RegistryStore, *, seconds: Callable[[], float]) -> None:
        """Begin empty; ``seconds`` is a monotonic clock."""
        self._store, self._seconds = store, seconds
        self._by_number: dict[str, tuple[Tenant, ...]] = {}
        self._read_at: float | None = None
        self._lock = asyncio.Lock()

    async def tenants(self, number_id: str) -> tuple[Tenant, ...]:
        """Return the laundromats of a number, ordered by CNPJ; empty: nobody here has it.

        Raises:
            ServiceError: Firestore does not answer.

        """
        await self._refresh(_KEPT_SECONDS)
        if number_id not in self._by_number:
            await self._refresh(_ASKED_AGAIN_SECONDS)
        return self._by_number.get(number_id, ())

    async def portfolios(self, waba_id: str) -> dict[str, list[Tenant]]:
        """Return the laundromats of an account, by their portfolio."""
        await self._refresh(_KEPT_SECONDS)
        found: dict[str, list[Tenant]] = {}
        for tenants in self._by_number.values():
            for tenant in tenants:
                if tenant.waba_id == waba_id and tenant.portfolio_id:
                    found.setdefault(tenant.portfolio_id, []).append(tenant)
        return found

    async def _refresh(self, kept_seconds: float) -> None:
        async with self._lock:
            if self._read_at is not None and self._seconds() - self._read_at < kept_seconds:
                return
            by_number: dict[str, list[Tenant]] = {}
            for cnpj, user in sorted(await self._store.registry()):
                tenant = _tenant(cnpj, user)
                if tenant is not None:
                    by_number.setdefault(tenant.number_id, []).append(tenant)
            self._by_number = {number: tuple(found) for number, found in by_number.items()}
            self._read_at = self._seconds()


def _tenant(cnpj: str, user: Mapping[str, Any]) -> Tenant | None:
    """Return a laundromat, also when other fields are wrong: no opt-out may be lost by that."""
    raw = user.get("whatsapp")
    number_id = raw.get("phoneNumberId") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(number_id, str) or not number_id:
        return None
    try:
        account = read_account(cnpj, user)
    except ConfigurationError:
        # The sender reports the mistake; nothing is sent for this laundromat.
        account = None
    portfolio_id = raw.get("portfolioId")
    is_legal = isinstance(portfolio_id, str) and "/" not in portfolio_id
    return Tenant(
        cnpj,
        number_id,
        str(raw.get("wabaId") or ""),
        str(portfolio_id) if is_legal else "",
        str(user.get("name") or ""),
        raw.get("keepReplies") is True,
        account,
    )
