"""Faults below HTTP: connections that end without an answer, or in the middle of one."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["FakeConnections"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_LONGER_THAN_WHAT_COMES = 1000


class FakeConnections:
    """The server's open connections by client address; ASGI does not give access to them."""

    def __init__(self) -> None:
        """Begin without a connection."""
        self._open: dict[tuple[str, int], tuple[asyncio.Transport, asyncio.Event]] = {}

    def protocol(self) -> type[H11Protocol]:
        """Return uvicorn's protocol, extended to register its connections here."""
        opened = self._open

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                if self.client is not None:
                    opened[self.client] = (transport, asyncio.Event())

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                if self.client is not None:
                    opened.pop(self.client)[1].set()

        return Protocol

    async def reset(self, request: Request) -> None:
        """End the request's connection by a reset, and wait until the server notices."""
        transport, gone = self._of(request)
        # SO_LINGER with 0 seconds turns the close into a reset.
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
        await gone.wait()

    async def truncate(self, request: Request, body: bytes) -> None:
        """Send half of the body under a longer content-length, and close."""
        transport, gone = self._of(request)
        length = len(body) + _LONGER_THAN_WHAT_COMES
        head = (
            f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
        transport.write(head.encode() + body[: len(body) // 2])
        transport.close()
        await gone.wait()

    def _of(self, request: Request) -> tuple[asyncio.Transport, asyncio.Event]:
        client = request.scope["client"]
        return self._open[client[0], client[1]]
