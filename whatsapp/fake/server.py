"""The fake as a server on loopback: in a thread of this process, or as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import httpx2
import uvicorn
from starlette.applications import Starlette

from whatsapp.fake import api, chats, control
from whatsapp.fake.connections import FakeConnections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from whatsapp.fake.state import FakeState

__all__ = ["make_app", "make_server", "running"]

_HOST = "127.0.0.1"
_POLL_SECONDS = 0.02
_BACKLOG = 2048


def make_app(state: FakeState, connections: FakeConnections) -> Starlette:
    """Return the app over a state; deliveries run while it does."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # The webhook is on this machine: never reach it through an environment's proxy.
        async with httpx2.AsyncClient(trust_env=False) as client:
            app.state.webhook_client = client
            delivering = asyncio.create_task(_deliver(app))
            yield
            delivering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await delivering

    app = Starlette(routes=[*control.routes(), *chats.routes(), *api.routes()], lifespan=lifespan)
    app.state.fake = state
    app.state.connections = connections
    return app


async def _deliver(app: Starlette) -> None:
    """Deliver due webhooks again and again while the settings say so."""
    while True:
        # Read it each time: a reset replaces the state.
        state: FakeState = app.state.fake
        if state.settings.webhooks.automatically:
            await state.webhooks.deliver_due(app.state.webhook_client, state.settings.webhooks)
        await asyncio.sleep(_POLL_SECONDS)


def make_server(state: FakeState, *, port: int = 0) -> tuple[uvicorn.Server, socket.socket, str]:
    """Return a server, the socket on which it must run, and its address."""
    connections = FakeConnections()
    config = uvicorn.Config(
        make_app(state, connections),
        http=connections.protocol(),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        # A call that hangs must not keep the server up.
        timeout_graceful_shutdown=1,
    )
    # asyncio turns Nagle's algorithm off only if the socket names its protocol. With the algorithm
    # on, each answer would wait 40 ms for the client's acknowledgement.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((_HOST, port))
    listening.listen(_BACKLOG)
    return uvicorn.Server(config), listening, f"http://{_HOST}:{listening.getsockname()[1]}"


@contextlib.contextmanager
def running(state: FakeState, *, port: int = 0) -> Iterator[str]:
    """Serve from a thread; the value is the address.

    The state belongs to that thread: read and change it only over HTTP, below /_fake/.
    """
    server, listening, url = make_server(state, port=port)
    with listening:
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listening]}, name="fake WhatsApp", daemon=True
        )
        thread.start()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()
