"""Serve the embedded Firestore: ``python -m loader.local.firestore.server PORT_FILE [DATA_FILE]``.

The port is chosen by the system and written to PORT_FILE once the server answers. DATA_FILE is read
at the start, if it is there, and written at the end. It is for the demo and for tests, and listens
on the loopback interface only.
"""

from __future__ import annotations

import signal
import sys
import threading
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.firestore_v1.types import ListDocumentsResponse

from loader.local.firestore.calls import EmbeddedFirestore
from loader.local.firestore.refusal import RefusedCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SERVICE = "/google.firestore.v1.Firestore/"
_OPTIONS = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
)
# A write that waits for a transaction occupies a thread.
_THREADS = 32
_GRACE_SECONDS = 1


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM."""
    ports_file = Path(arguments[0])
    data_file = Path(arguments[1]) if len(arguments) > 1 else None
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    firestore = EmbeddedFirestore()
    if data_file is not None and data_file.exists():
        _load(firestore, data_file)
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS), options=_OPTIONS)
    server.add_generic_rpc_handlers((_Handler(firestore),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"the embedded Firestore, for demo and tests only, at 127.0.0.1:{port}\n")
    sys.stdout.flush()
    written = ports_file.with_suffix(".new")
    written.write_text(str(port), encoding="ascii")
    written.rename(ports_file)
    stopped.wait()
    server.stop(_GRACE_SECONDS).wait()
    if data_file is not None:
        _save(firestore, data_file)


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """Hands every method of Firestore to the embedded one; requests and replies stay bytes."""

    def __init__(self, firestore: EmbeddedFirestore) -> None:
        self._firestore = firestore

    def service(self, handler_call_details: Any) -> Any:
        path: str = handler_call_details.method
        if not path.startswith(_SERVICE):
            return None
        method = path.removeprefix(_SERVICE)
        if method in ("Listen", "Write"):
            return grpc.stream_stream_rpc_method_handler(self._answering(method))
        # On the wire a single reply is a stream of one.
        return grpc.unary_stream_rpc_method_handler(self._answering(method))

    def _answering(self, method: str) -> Callable[[Any, Any], Iterator[bytes]]:
        def answer(request: Any, context: Any) -> Iterator[bytes]:
            try:
                yield from self._firestore.answer(method, request)
            except RefusedCall as refusal:
                context.abort(refusal.code, refusal.details)

        return answer


def _load(firestore: EmbeddedFirestore, file: Path) -> None:
    for document in ListDocumentsResponse.pb().FromString(file.read_bytes()).documents:
        firestore.documents.put(document)


def _save(firestore: EmbeddedFirestore, file: Path) -> None:
    kept = ListDocumentsResponse.pb()()
    kept.documents.extend(firestore.documents.everything())
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_suffix(".new")
    written.write_bytes(kept.SerializeToString())
    written.rename(file)


if __name__ == "__main__":
    main(sys.argv[1:])
