"""The HTTP side: the handshake, signed POSTs within limits, and two health checks."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from loader.base.errors import VmhubError
from whatsapp.webhook.parsing import parse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from whatsapp.webhook.items import Parsed
    from whatsapp.webhook.signature import AppSecrets

__all__ = ["Bounds", "WebhookApp"]

_log = logging.getLogger(__name__)

_OK, _BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN = 200, 400, 401, 403
_READY_KEPT_SECONDS = 2.0
_TIMEOUT, _TOO_LARGE, _FAILED, _BUSY = 408, 413, 500, 503


@dataclass(frozen=True)
class Bounds:
    """The limits of one process."""

    body_bytes: int = 3 * 1024 * 1024
    """Meta's own limit."""
    body_seconds: float = 10.0
    """Time to receive the body."""
    apply_seconds: float = 25.0
    """Time to commit everything."""
    at_a_time: int = 32


class ItemApplier(Protocol):
    """The part of `whatsapp.webhook.applying.Applier` that the app needs."""

    async def apply(self, parsed: Parsed) -> None:
        """Apply everything, and return when it is committed."""


@dataclass
class WebhookApp:
    """Answers requests."""

    applier: ItemApplier
    secrets: AppSecrets
    verify_token: Callable[[], Awaitable[str]]
    is_ready: Callable[[], Awaitable[bool]]
    bounds: Bounds = Bounds()
    answers: Counter[int] = field(default_factory=Counter)
    """How many POSTs were answered with each status."""
    seconds: Callable[[], float] = time.monotonic
    _under_way: int = 0
    _was_ready: tuple[float, bool] | None = None

    def starlette(self) -> Starlette:
        """Return the app."""
        return Starlette(
            routes=[
                Route("/webhook", self._handshake, methods=["GET"]),
                Route("/webhook", self._receive, methods=["POST"]),
                Route("/healthz", self._health, methods=["GET"]),
                Route("/readyz", self._ready, methods=["GET"]),
            ]
        )

    async def _handshake(self, request: Request) -> Response:
        """Answer Meta's question whether this address is ours."""
        query = request.query_params
        challenge = query.get("hub.challenge")
        if query.get("hub.mode") != "subscribe" or challenge is None:
            return Response(status_code=_BAD_REQUEST)
        try:
            token = await self.verify_token()
        except VmhubError as error:
            _log.error("%s", error)
            return Response(status_code=_FAILED)
        told = query.get("hub.verify_token", "")
        if not hmac.compare_digest(told.encode(), token.encode()):
            return Response(status_code=_FORBIDDEN)
        return PlainTextResponse(challenge)

    async def _receive(self, request: Request) -> Response:
        if self._under_way >= self.bounds.at_a_time:
            status = _BUSY
        else:
            self._under_way += 1
            try:
                status = await self._taken(request)
            finally:
                self._under_way -= 1
        self.answers[status] += 1
        headers = {}
        if status != _OK:
            # Do not wait for the rest of a body that was not read.
            headers = {"Connection": "close"}
        if status == _BUSY:
            headers["Retry-After"] = "1"
        return Response(status_code=status, headers=headers)

    async def _taken(self, request: Request) -> int:
        """Return the status to answer a POST with."""
        try:
            async with asyncio.timeout(self.bounds.body_seconds):
                raw = await self._body(request)
        except TimeoutError:
            return _TIMEOUT
        except ClientDisconnect:
            return _BAD_REQUEST
        if raw is None:
            return _TOO_LARGE
        headers = request.headers.getlist("x-hub-signature-256")
        signature = headers[0].encode("latin-1") if len(headers) == 1 else None
        try:
            if not await self.secrets.verify(raw, signature):
                return _UNAUTHORIZED
            async with asyncio.timeout(self.bounds.apply_seconds):
                await self.applier.apply(parse(raw))
        except VmhubError as error:
            _log.error("a POST is to come again: %s", error)
            return _FAILED
        except TimeoutError:
            _log.error("a POST is to come again: it took too long")
            return _FAILED
        except Exception as error:  # noqa: BLE001 - a mistake of ours: Meta repeats it until it is fixed
            # The text of an unexpected error may quote what somebody wrote; its type does not.
            _log.error("a POST is to come again: %s at %s", type(error).__name__, _place(error))
            return _FAILED
        return _OK

    async def _body(self, request: Request) -> bytes | None:
        """Return the body; None: it is longer than the limit."""
        said = request.headers.get("content-length", "")
        if said.isdecimal() and int(said) > self.bounds.body_bytes:
            return None
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > self.bounds.body_bytes:
                return None
            parts.append(part)
        return b"".join(parts)

    async def _health(self, _request: Request) -> Response:
        return PlainTextResponse("ok")

    async def _ready(self, _request: Request) -> Response:
        """Answer whether POSTs can be applied: the secrets and Firestore can be read."""
        # Anybody may call this, so Firestore is asked once in two seconds at most.
        known = self._was_ready
        if known is None or self.seconds() - known[0] >= _READY_KEPT_SECONDS:
            known = self._was_ready = self.seconds(), await self.is_ready()
        is_ready = known[1]
        return PlainTextResponse(
            "ready" if is_ready else "not ready", status_code=_OK if is_ready else _BUSY
        )


def _place(error: BaseException) -> str:
    """Return the function and line where an error was raised."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return f"{last.tb_frame.f_code.co_name}:{last.tb_lineno}" if last is not None else "?"
