"""One process that receives: its connections, its signals, and its background tasks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from loader.base.clock import now as machine_now
from loader.base.errors import ConfigurationError, VmhubError
from loader.firestore.aio import connect_async
from whatsapp.api import Api, new_client
from whatsapp.process import api_url, phone_secret
from whatsapp.signals import end_on_signals
from whatsapp.tokens import Secrets
from whatsapp.webhook.app import Bounds, WebhookApp
from whatsapp.webhook.applying import Applier, Parts
from whatsapp.webhook.confirmations import Confirmations
from whatsapp.webhook.directory import Directory
from whatsapp.webhook.matching import Matcher
from whatsapp.webhook.news import NewsDesk
from whatsapp.webhook.parking import Parking
from whatsapp.webhook.receipts import ReceiptRules
from whatsapp.webhook.recording import Recorder
from whatsapp.webhook.signature import AppSecrets
from whatsapp.webhook.store import WebhookStore
from whatsapp.webhook.suppressing import Suppressor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from datetime import datetime

    from loader.base.environment import Environment
    from loader.firestore.aio import AsyncDatabase
    from whatsapp.error_classes import ErrorClasses
    from whatsapp.webhook.confirmations import ConfirmationApi
    from whatsapp.webhook.records import WebhookLog

__all__ = ["SecretNames", "Service", "receive", "secret_names"]

_log = logging.getLogger(__name__)

_APP_SECRETS, _VERIFY_TOKEN = "VMHUB_APP_SECRETS", "VMHUB_VERIFY_TOKEN"
_TRY_AGAIN_SECONDS = 10.0
_ROWS_SECONDS = 30.0
_RECORD_SECONDS = 600.0
_DRAIN_SECONDS = 30
_READY_SECONDS = 5.0
_BACKLOG = 256


@dataclass(frozen=True)
class SecretNames:
    """Where the secrets of Meta's app are."""

    app_secrets: tuple[str, ...]
    """All that are valid; two during a rotation."""
    verify_token: str


def secret_names(variables: Mapping[str, str] | None = None) -> SecretNames:
    """Return the names of the secrets.

    Raises:
        ConfigurationError: No app secret is named.

    """
    given = os.environ if variables is None else variables
    names = tuple(given.get(_APP_SECRETS, "").replace(",", " ").split())
    if not names:
        message = f"{_APP_SECRETS} is not set"
        raise ConfigurationError(
            message, hint="it names the app's secrets, separated by commas; docs/webhook.md"
        )
    return SecretNames(names, given.get(f"{_VERIFY_TOKEN}_SECRET") or _VERIFY_TOKEN)


@dataclass
class Service:
    """All parts of a webhook, over one connection to Firestore."""

    store: WebhookStore
    directory: Directory
    confirmations: Confirmations
    parking: Parking
    applier: Applier
    app: WebhookApp
    log: WebhookLog
    matched_late: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)

    @classmethod
    def made(
        cls,
        database: AsyncDatabase,
        api: ConfirmationApi,
        secrets: Secrets,
        *,
        names: SecretNames,
        classes: ErrorClasses,
        phone_secret: bytes,
        log: WebhookLog,
        now: Callable[[], datetime],
        seconds: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        bounds: Bounds | None = None,
    ) -> Service:
        """Put the parts together."""
        store = WebhookStore(database)
        directory = Directory(store, seconds=seconds)
        suppressor = Suppressor(store)
        news = NewsDesk(store, directory, now=now, seconds=seconds, record=log.event)
        recorder = Recorder(store, ReceiptRules(classes), suppressor, news, now=now, sleep=sleep)
        matcher = Matcher(store, directory, phone_secret)
        parking = Parking(store, matcher, recorder, now=now)
        confirmations = Confirmations(
            store, api, secrets, now=now, phone_secret=phone_secret, sleep=sleep
        )
        parts = Parts(directory, matcher, recorder, suppressor, parking, news, confirmations)
        applier = Applier(parts, reject=log.reject)

        async def is_ready() -> bool:
            try:
                async with asyncio.timeout(_READY_SECONDS):
                    for name in (*names.app_secrets, names.verify_token):
                        await secrets.get(name)
                    await store.get([store.path("users", "clock")])
            except (VmhubError, TimeoutError) as error:
                _log.warning("not ready: %s", error or "Firestore takes too long")
                return False
            return True

        app = WebhookApp(
            applier,
            AppSecrets(names.app_secrets, secrets, seconds=seconds),
            lambda: secrets.get(names.verify_token),
            is_ready,
            bounds or Bounds(),
            seconds=seconds,
        )
        return cls(store, directory, confirmations, parking, applier, app, log)

    async def try_again(self) -> None:
        """Look again for the attempts of the parked receipts.

        Raises:
            ServiceError: Firestore does not answer.

        """
        while True:
            done = await self.parking.try_again()
            self.matched_late += done.matched
            self.dropped += done.dropped
            if not done.is_full:
                return

    def counts(self) -> dict[str, Any]:
        """Return the counts since the start."""
        return {
            "answers": {str(status): count for status, count in self.app.answers.items()},
            "items": dict(self.applier.counts),
            "confirmations": dict(self.confirmations.outcomes),
            "matched_late": self.matched_late,
            "dropped": self.dropped,
            "documents_read": self.store.documents_read,
            "writes_sent": self.store.writes_sent,
        }


def receive(
    environment: Environment,
    classes: ErrorClasses,
    *,
    host: str,
    port: int,
    log: WebhookLog,
    now: Callable[[], datetime] = machine_now,
) -> tuple[dict[str, Any], int | None]:
    """Receive until a signal comes.

    Args:
        environment: Where the services are.
        classes: What WhatsApp's codes mean.
        host: The address to listen on.
        port: The port; 0: any free one.
        log: Where the records go.
        now: The clock; the demo uses another date.

    Returns:
        What was done, and the signal that ended it, if any.

    Raises:
        ConfigurationError: The environment is not as it must be, or the port is taken.
        ServiceError: A secret cannot be read.

    """
    return asyncio.run(_receive(environment, classes, host=host, port=port, log=log, now=now))


async def _receive(
    environment: Environment,
    classes: ErrorClasses,
    *,
    host: str,
    port: int,
    log: WebhookLog,
    now: Callable[[], datetime],
) -> tuple[dict[str, Any], int | None]:
    names = secret_names()
    secrets = Secrets(clock=time.monotonic)
    key = phone_secret()
    database = connect_async(environment)
    try:
        async with new_client(api_url(environment), connections=16) as client:
            service = Service.made(
                database,
                Api(client, classes),
                secrets,
                names=names,
                classes=classes,
                phone_secret=key,
                log=log,
                now=now,
                seconds=time.monotonic,
            )
            with _listening(host, port) as listening:
                return await _serve(service, listening)
    finally:
        await database.close()


async def _serve(service: Service, listening: socket.socket) -> tuple[dict[str, Any], int | None]:
    config = uvicorn.Config(
        service.app.starlette(),
        http=H11Protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        backlog=_BACKLOG,
    )
    server = _Server(config)
    received = end_on_signals(lambda: setattr(server, "should_exit", True))
    address = listening.getsockname()
    _log.info("receiving at http://%s:%s/webhook", address[0], address[1])
    beside = [
        asyncio.create_task(_again(service.try_again, _TRY_AGAIN_SECONDS)),
        asyncio.create_task(_again(lambda: asyncio.to_thread(service.log.write), _ROWS_SECONDS)),
        asyncio.create_task(_again(lambda: _record(service), _RECORD_SECONDS)),
    ]
    try:
        # After a signal it takes no new POST; those under way are committed and answered.
        await server.serve(sockets=[listening])
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await service.confirmations.drain(_DRAIN_SECONDS)
        await _record(service)
    return service.counts(), received[0] if received else None


async def _record(service: Service) -> None:
    await asyncio.to_thread(service.log.write, service.counts())


async def _again(do: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Do something again and again; a failure is logged, and does not end it."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await do()
        except VmhubError as error:
            _log.warning("%s", error)
        except Exception as error:  # noqa: BLE001 - its text may quote what somebody wrote
            _log.error("beside the webhooks: %s", type(error).__name__)


class _Server(uvicorn.Server):
    """A server without signal handlers: uvicorn would raise the signal again at its end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        message = f"nothing can listen at {host}:{port} ({error.strerror})"
        raise ConfigurationError(message, hint="name another with --host and --port") from error
    listening.listen(_BACKLOG)
    # asyncio turns Nagle's algorithm off only if the socket names its protocol. With the algorithm
    # on, each answer would wait for the client's acknowledgement.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, listening.detach())
