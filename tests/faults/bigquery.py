"""A BigQuery proxy on the loopback interface that can deny or delay requests."""

from __future__ import annotations

import http.client
import json
import threading
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message

__all__ = ["BigQueryRelay", "Request", "denying_storage", "relaying"]

_DENIED = {
    "error": {
        "code": 403,
        "message": "Access Denied",
        "errors": [{"reason": "accessDenied", "message": "Access Denied"}],
        "status": "PERMISSION_DENIED",
    }
}


@dataclass(frozen=True)
class Request:
    """One call of the REST API."""

    method: str
    path: str
    body: Any
    """The JSON object; None for a call without a JSON object."""


@dataclass
class BigQueryRelay:
    """The requests that have passed, and which ones get 403 instead."""

    url: str = ""
    is_denied: Callable[[Request], bool] = lambda _request: False
    hook: Callable[[Request], None] = lambda _request: None
    """Called with each request before it is passed on; it may wait."""
    requests: list[Request] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with each request that is passed on."""


@contextmanager
def relaying(url: str) -> Iterator[BigQueryRelay]:
    """Serve an emulator's REST API on a port of its own during the block."""
    relay = BigQueryRelay()

    class Handler(_Handler):
        target = urlsplit(url).netloc
        state = relay

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    relay.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def denying_storage() -> Iterator[str]:
    """Serve a Storage Read API that denies every session; yields its ``host:port``."""

    def deny(_request: bytes, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "by plan")

    server = grpc.server(futures.ThreadPoolExecutor(2))
    handler = grpc.method_handlers_generic_handler(
        "google.cloud.bigquery.storage.v1.BigQueryRead",
        {"CreateReadSession": grpc.unary_unary_rpc_method_handler(deny)},
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


class _Handler(BaseHTTPRequestHandler):
    target: str
    state: BigQueryRelay

    def _pass_on(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_json = "json" in (self.headers.get("Content-Type") or "")
        body = json.loads(content) if content and is_json else None
        request = Request(self.command, self.path, body)
        self.state.requests.append(request)
        self.state.hook(request)
        if self.state.is_denied(request):
            self._answer(403, json.dumps(_DENIED).encode(), {"Content-Type": "application/json"})
            return
        headers = _passed(self.headers) | self.state.headers
        upstream = http.client.HTTPConnection(self.target)
        try:
            upstream.request(self.command, self.path, content or None, headers)
            answer = upstream.getresponse()
            self._answer(answer.status, answer.read(), _passed(answer.headers))
        finally:
            upstream.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815 - the server's names

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the server's name
        pass


def _passed(headers: Message) -> dict[str, str]:
    """Return the headers of the content, without those of the connection."""
    own = ("host", "connection", "content-length", "transfer-encoding")
    return {name: value for name, value in headers.items() if name.lower() not in own}
