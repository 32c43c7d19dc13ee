"""One process that sends: its connections, its signals, and the parts put together."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.base.clock import now as machine_now
from loader.base.errors import ConfigurationError
from loader.firestore.aio import connect_async
from loader.firestore.client import connect
from loader.firestore.lease import Leases, portfolio_place
from whatsapp.api import API_URL, Api, new_client
from whatsapp.attempt import Attempter
from whatsapp.desk import Desk
from whatsapp.error_classes import ErrorClass, read_error_classes
from whatsapp.ownership import LASTS, Ownership
from whatsapp.prices import read_prices
from whatsapp.sender import Sender
from whatsapp.signals import end_on_signals
from whatsapp.store import Store
from whatsapp.templates import read_seed_templates
from whatsapp.tokens import Secrets, read_secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime
    from pathlib import Path

    from loader.base.environment import Environment
    from whatsapp.error_classes import ErrorClasses
    from whatsapp.records import SendLog
    from whatsapp.report import SendReport

__all__ = ["Connections", "Seeds", "api_url", "connections", "new_attempter", "send"]

PHONE_KEY_VARIABLE = "VMHUB_PHONE_KEY"


@dataclass(frozen=True)
class Seeds:
    """The project's seeds that sending reads."""

    folder: Path

    @property
    def error_classes(self) -> ErrorClasses:
        """Return what the codes mean."""
        return read_error_classes(self.folder / "whatsapp_error_classes.csv")

    @property
    def prices(self) -> Path:
        """Return the file of prices."""
        return self.folder / "whatsapp_prices.csv"

    @property
    def templates(self) -> Path:
        """Return the file of texts."""
        return self.folder / "message_templates.csv"


@dataclass(frozen=True)
class Connections:
    """The services that a sending command talks to, for one event loop."""

    store: Store
    api: Api
    secrets: Secrets


def api_url(environment: Environment) -> str:
    """Return where WhatsApp is.

    Raises:
        ConfigurationError: The other services are emulators, and WhatsApp would be the real one.

    """
    if environment.whatsapp_url is not None:
        return environment.whatsapp_url
    if environment.is_local:
        message = "WHATSAPP_API_URL is not set, and the other services are emulators"
        hint = 'run `eval "$(vmhub local env)"`: nothing of a local stack goes to real people'
        raise ConfigurationError(message, hint=hint)
    return API_URL


def phone_secret() -> bytes:
    """Return the secret key with which phones are hashed.

    Raises:
        SecretError: It is not set; the hint says how.

    """
    named = os.environ.get(f"{PHONE_KEY_VARIABLE}_SECRET") or PHONE_KEY_VARIABLE
    return read_secret(named).encode()


@asynccontextmanager
async def connections(
    environment: Environment, classes: ErrorClasses
) -> AsyncIterator[Connections]:
    """Connect while the ``with`` block runs."""
    database = connect_async(environment)
    try:
        async with new_client(api_url(environment)) as client:
            loop = asyncio.get_running_loop()
            yield Connections(Store(database), Api(client, classes), Secrets(clock=loop.time))
    finally:
        await database.close()


def new_attempter(
    found: Connections, classes: ErrorClasses, *, now: Callable[[], datetime]
) -> Attempter:
    """Return the object that makes attempts, with real randomness and new ids.

    Raises:
        SecretError: The key of the phones' hashes is not set.

    """
    return Attempter(
        found.store,
        found.api,
        now=now,
        sleep=asyncio.sleep,
        rng=random.Random(),  # noqa: S311 - jitter
        new_id=lambda: secrets.token_urlsafe(12),
        phone_secret=phone_secret(),
        deferred_codes=frozenset(
            str(code)
            for code, meaning in classes.by_code.items()
            if meaning.error_class is ErrorClass.DEFERRED
        ),
    )


def send(
    environment: Environment,
    seeds: Seeds,
    *,
    once: bool,
    cnpj: str | None = None,
    log: SendLog | None = None,
    now: Callable[[], datetime] = machine_now,
    patience: float = 1.0,
) -> tuple[SendReport, int | None]:
    """Send until a signal comes; with ``once``, only what may be sent now.

    Args:
        environment: Where the services are.
        seeds: The project's seeds.
        once: End when there is nothing more to send now.
        cnpj: Send for this laundromat only.
        log: Where the records go; None: nowhere.
        now: The clock; the demo uses another date.
        patience: A factor of the pauses before a refused message is posted again.

    Returns:
        What was done, and the signal that ended it, if any.

    Raises:
        ConfigurationError: A seed or the environment is not as it must be.
        ServiceError: Firestore does not answer, or this program may not use it.

    """
    return asyncio.run(
        _send(environment, seeds, once=once, cnpj=cnpj, log=log, now=now, patience=patience)
    )


async def _send(
    environment: Environment,
    seeds: Seeds,
    *,
    once: bool,
    cnpj: str | None,
    log: SendLog | None,
    now: Callable[[], datetime],
    patience: float,
) -> tuple[SendReport, int | None]:
    classes = seeds.error_classes
    async with connections(environment, classes) as found:
        attempter = new_attempter(found, classes, now=now)
        holder = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
        leases = Leases(connect(environment), holder, lasts=LASTS, place=portfolio_place)
        owner = Ownership(leases, clock=time.monotonic)
        desk = Desk(
            found.store,
            found.api,
            found.secrets,
            owner,
            now=now,
            prices=read_prices(seeds.prices),
            seed=read_seed_templates(seeds.templates),
            patience=patience,
        )

        async def record(report: SendReport) -> None:
            if log is not None:
                await asyncio.to_thread(log.record, report, now())

        sender = Sender(found.store, attempter, desk, owner, now=now, cnpj=cnpj, record=record)
        received = end_on_signals(sender.stop)
        report = await sender.run(once=once)
        return report, received[0] if received else None
