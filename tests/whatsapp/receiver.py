"""A webhook that keeps what it gets, and answers what a test says."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class Receiver:
    """Raw bodies with their signatures, in the order in which they came."""

    def __init__(self) -> None:
        self.posts: list[tuple[bytes, str | None]] = []
        self.statuses: list[int] = []
        """What the next POSTs are answered; 200 when it is empty."""
        self.before_answer: Callable[[], object] = lambda: None
        kept = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                kept.posts.append((raw, self.headers.get("X-Hub-Signature-256")))
                kept.before_answer()
                self.send_response(kept.statuses.pop(0) if kept.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - overridden
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhook"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(raw) for raw, _ in self.posts]

    def values(self) -> list[dict[str, Any]]:
        """Return the value of every change."""
        return [
            change["value"]
            for body in self.bodies
            for entry in body["entry"]
            for change in entry["changes"]
        ]

    def statuses_told(self) -> list[dict[str, Any]]:
        return [status for value in self.values() for status in value.get("statuses", [])]
