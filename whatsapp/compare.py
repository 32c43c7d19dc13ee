"""Compare the seed's texts with an account's templates, for `templates check` and `check`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError
from loader.firestore.aio import connect_async
from whatsapp.process import connections
from whatsapp.store import Store
from whatsapp.templates import differences, read_listed, read_seed_templates, why_unsendable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.base.environment import Environment
    from whatsapp.accounts import Account
    from whatsapp.process import Connections, Seeds

__all__ = ["ComparedTemplate", "compare", "compare_for"]


@dataclass(frozen=True)
class ComparedTemplate:
    """One template of the seed, and how WhatsApp's differs from it."""

    waba_id: str
    name: str
    language: str
    differences: tuple[str, ...]
    is_sendable: bool
    """False: no message can be sent with it until it is fixed."""


async def compare(
    found: Connections, account: Account, token: str, seeds: Seeds
) -> list[ComparedTemplate]:
    """Compare each template of the seed with one account's.

    Raises:
        ServiceError: WhatsApp does not answer as it should.

    """
    listed = read_listed(await found.api.templates(account.waba_id, token))
    return [
        ComparedTemplate(
            account.waba_id,
            seed.name,
            seed.language,
            tuple(differences(listed.get(key), seed)),
            is_sendable=not why_unsendable(listed.get(key), seed),
        )
        for key, seed in read_seed_templates(seeds.templates).items()
    ]


def compare_for(
    environment: Environment, seeds: Seeds, cnpj: str
) -> Sequence[ComparedTemplate] | None:
    """Compare the templates of one laundromat's account; None: it does not send through us.

    Raises:
        ConfigurationError: Its registry entry, a seed or the environment is not as it must be.
        ServiceError: A service does not answer.

    """

    async def run() -> Sequence[ComparedTemplate] | None:
        account = await _account(environment, cnpj)
        if account is None or not account.is_enabled:
            return None
        async with connections(environment, seeds.error_classes) as found:
            token = await found.secrets.get(account.token_secret)
            return await compare(found, account, token, seeds)

    return asyncio.run(run())


async def _account(environment: Environment, cnpj: str) -> Account | None:
    database = connect_async(environment)
    try:
        accounts, broken = await Store(database).accounts(cnpj)
    finally:
        await database.close()
    if broken:
        hint = "docs/sending.md says how users/{cnpj}.whatsapp is filled in"
        raise ConfigurationError(broken[cnpj], hint=hint)
    return accounts.get(cnpj)
