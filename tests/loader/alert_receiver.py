"""A webhook on this machine that keeps what apprise sends."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "t0psecret"


@dataclass
class AlertReceiver:
    """Accepts messages, or refuses them."""

    url: str = ""
    is_down: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def titles(self) -> list[str]:
        """The titles of the messages, in order of arrival."""
        return [message["title"] for message in self.messages]


@contextmanager
def alert_receiver() -> Iterator[AlertReceiver]:
    """Run a receiver during the block."""
    receiver = AlertReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not receiver.is_down:
                receiver.messages.append(json.loads(body))
            self.send_response(503 if receiver.is_down else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"json://127.0.0.1:{server.server_address[1]}/{SECRET}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
