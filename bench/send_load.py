"""The load of the sender's bench: laundromats, their accounts at the fake, and targets."""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from loader.base.cnpj import with_check_digits
from loader.firestore.aio import connect_async, encoded_write
from whatsapp.targets import Template
from whatsapp.templates import creation

if TYPE_CHECKING:
    import httpx2

    from loader.base.environment import Environment
    from whatsapp.templates import SeedTemplate

__all__ = ["VERSION", "Load", "authorization", "next_phone", "put_targets"]

VERSION = "v24.0"
_COMMIT, _AT_A_TIME = 200, 4
_numbers = itertools.count()


def next_phone() -> str:
    """Return a phone that has not been used yet."""
    return f"+5511{900_000_000 + next(_numbers)}"


def authorization() -> dict[str, str]:
    """Return the header with the fake's token."""
    return {"Authorization": f"Bearer {os.environ['WHATSAPP_TOKEN']}"}


@dataclass(frozen=True)
class Load:
    """Laundromats with one number each, in some portfolios."""

    seed: SeedTemplate
    laundromats: int = 1
    portfolios: int = 1
    per_second: int = 80
    """Messages that a number may send per second."""

    @property
    def text(self) -> Template:
        """Return the message of all targets."""
        values = tuple((name, "Ana") for name in self.seed.variables)
        return Template(self.seed.name, self.seed.language, values)

    def number(self, index: int = 0) -> str:
        """Return the id of a laundromat's number."""
        return f"8{index:05}"

    def account(self, index: int) -> dict[str, Any]:
        """Return users/{cnpj}.whatsapp of a laundromat."""
        return {
            "phoneNumberId": self.number(index),
            "wabaId": f"9{index:05}",
            "portfolioId": f"7{index % self.portfolios:05}",
            "tokenSecret": "WHATSAPP_TOKEN",
            "enabled": True,
            "messagesPerSecond": self.per_second,
        }

    def prepare(self, client: httpx2.Client, latency: float) -> None:
        """Set up the fake: accounts, latency, and approved templates."""
        settings = {"latency_seconds": latency, "review": "APPROVED"}
        client.put("/_fake/settings", json=settings).raise_for_status()
        accounts = [self.account(index) for index in range(self.laundromats)]
        portfolios = sorted({account["portfolioId"] for account in accounts})
        wabas = [
            {"id": account["wabaId"], "portfolio_id": account["portfolioId"]}
            for account in accounts
        ]
        numbers = [
            {
                "id": account["phoneNumberId"],
                "waba_id": account["wabaId"],
                "display_phone_number": f"5511300{index:05}",
                "messages_per_second": self.per_second,
            }
            for index, account in enumerate(accounts)
        ]
        body = {
            "portfolios": [{"id": key, "people_in_24_hours": None} for key in portfolios],
            "wabas": wabas,
            "numbers": numbers,
            "tokens": [
                {
                    "token": os.environ["WHATSAPP_TOKEN"],
                    "waba_ids": [account["wabaId"] for account in accounts],
                }
            ],
        }
        client.post("/_fake/accounts", json=body).raise_for_status()
        for waba in wabas:
            path = f"/{VERSION}/{waba['id']}/message_templates"
            made = client.post(path, json=creation(self.seed), headers=authorization())
            if made.status_code != 200 and "already exists" not in made.text:  # noqa: PLR2004
                made.raise_for_status()


async def put_targets(environment: Environment, load: Load, count: int) -> dict[str, datetime]:
    """Write the registry and waiting targets; return by phone when each was written."""
    database = connect_async(environment)
    cnpjs = [str(with_check_digits(f"{index + 1:012}")) for index in range(load.laundromats)]
    writes = [
        encoded_write(
            database.path("users", cnpj), {"active": True, "whatsapp": load.account(index)}
        )
        for index, cnpj in enumerate(cnpjs)
    ]
    text, born = load.text, {}
    parameters = [{"parameter_name": name, "text": value} for name, value in text.parameters]
    payload = {"name": text.name, "language": text.language, "parameters": parameters}
    for index in range(count):
        now, phone = datetime.now(UTC), next_phone()
        born[phone.removeprefix("+")] = now
        cnpj, customer_id = cnpjs[index % len(cnpjs)], phone.removeprefix("+")
        fields = {
            "cnpj": cnpj,
            "campaignType": "BIRTHDAY",
            "customerId": customer_id,
            "phone": phone,
            "data": {"message": "m", "template": payload},
            "status": "PENDING",
            "attempts": 0,
            "cycleKey": "2026",
            "createdAt": now,
            "expiresAt": now + timedelta(hours=9),
        }
        path = ("users", cnpj, "campaigns", "BIRTHDAY", "targets", customer_id)
        writes.append(encoded_write(database.path(*path), fields))
    parts = iter([writes[start : start + _COMMIT] for start in range(0, len(writes), _COMMIT)])

    async def write() -> None:
        for part in parts:
            await database.commit(part, "writing targets")

    await asyncio.gather(*(write() for _ in range(_AT_A_TIME)))
    await database.close()
    return born
