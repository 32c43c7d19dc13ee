"""Firestore in memory and the fake WhatsApp, without a network between them and the sender."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import httpx2
import orjson
from google.cloud.firestore_v1.types import CommitRequest

from tests.faults.backends import Call, RefusedCall
from tests.faults.documents import OWNER
from whatsapp.fake.connections import FakeConnections
from whatsapp.fake.errors import ApiError
from whatsapp.fake.sending import send
from whatsapp.fake.server import make_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime

    from tests.faults.backends import Backend
    from whatsapp.fake.state import FakeState

__all__ = ["FakeTransport", "MemoryChannel", "at_time", "rpc_error"]

Hook = "Callable[[str, str], Awaitable[None]]"


def rpc_error(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "by plan")


async def nothing(_what: str, _moment: str) -> None:
    pass


class MemoryChannel:
    """As much of a `grpc.aio.Channel` as `loader.firestore.aio` uses."""

    def __init__(self, backend: Backend, now: Callable[[], datetime] | None = None) -> None:
        """Pass calls on to a Firestore.

        Args:
            backend: The Firestore.
            now: Its clock for what it fills in by itself; None: its own. Its update times are not
                changed.

        """
        self.backend, self._now = backend, now
        self.hook: Callable[[str, str], Awaitable[None]] = nothing
        """Told a method, and "before" or "after"; may wait, and may raise."""

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
    ) -> Any:
        async def call(request: Any, **_: Any) -> Any:
            (reply,) = await self._answers(method, request, request_serializer)
            return response_deserializer(reply)

        return call

    def unary_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None
    ) -> Any:
        async def call(request: Any, **_: Any) -> AsyncIterator[Any]:
            for reply in await self._answers(method, request, request_serializer):
                yield response_deserializer(reply)

        return call

    async def close(self) -> None:
        pass

    async def _answers(self, path: str, request: Any, serializer: Any) -> list[bytes]:
        method = path.rsplit("/", 1)[1]
        raw = serializer(request) if serializer else request
        await self.hook(method, "before")
        if method == "Commit" and self._now is not None:
            raw = at_time(raw, self._now())
        try:
            replies = list(self.backend.answer(Call(method, raw, OWNER)))
        except RefusedCall as refusal:
            raise rpc_error(refusal.code) from refusal
        await self.hook(method, "after")
        return replies


def at_time(raw: bytes, now: datetime) -> bytes:
    """Return a commit whose server times are already filled in, in milliseconds as Firestore's."""
    commit = CommitRequest.pb().FromString(raw)
    for write in commit.writes:
        for transform in write.update_transforms:
            assert transform.set_to_server_value, "no other transform is known here"
            value = write.update.fields[transform.field_path]
            value.timestamp_value.FromMilliseconds(int(now.timestamp() * 1000))
            if write.HasField("update_mask"):
                write.update_mask.field_paths.append(transform.field_path)
        del write.update_transforms[:]
    return bytes(commit.SerializeToString())


class FakeTransport(httpx2.AsyncBaseTransport):
    """Carries requests to the fake's own functions; its faults become errors of the connection."""

    def __init__(self, state: FakeState, now: Callable[[], datetime]) -> None:
        self.state, self._now = state, now
        self.hook: Callable[[str, str], Awaitable[None]] = nothing
        self.is_reachable = True
        self._asgi = httpx2.ASGITransport(app=make_app(state, FakeConnections()))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if not path.endswith(("/messages", "/marketing_messages")):
            return await self._asgi.handle_async_request(request)
        await self.hook("POST", "before")
        if not self.is_reachable:
            message = "nobody is there"
            raise httpx2.ConnectError(message)
        self.state.clock.set(self._now())
        response = await self._sent(path, request)
        await self.hook("POST", "after")
        return response

    async def _sent(self, path: str, request: httpx2.Request) -> httpx2.Response:
        number_id, endpoint = path.split("/")[-2:]
        body = orjson.loads(await request.aread())
        authorization = request.headers.get("Authorization")
        try:
            answer = send(self.state, number_id, endpoint, authorization, body)  # type: ignore[arg-type]
        except ApiError as error:
            return httpx2.Response(error.status, json=error.body("trace"))
        await asyncio.sleep(self.state.settings.latency_seconds)
        match answer.fault:
            case "gateway_error" | "accept_and_gateway_error":
                return httpx2.Response(502, text="<html>502</html>")
            case "reset_unread" | "accept_and_reset":
                raise httpx2.ReadError("reset")  # noqa: EM101
            case "truncated":
                raise httpx2.RemoteProtocolError("broke off")  # noqa: EM101, TRY003
            case "accept_and_hang":
                await asyncio.sleep(30)
                raise httpx2.ReadTimeout("no answer")  # noqa: EM101, TRY003
        return httpx2.Response(200, json=answer.body)
