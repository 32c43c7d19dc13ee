"""A TCP relay whose connections can be cut, as by a network failure or a dying machine."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Relay", "relaying"]

_BUFFER_BYTES = 64 * 1024
# Close with a reset at once, even if there is still data to send.
_NO_LINGER = struct.pack("ii", 1, 0)


class Relay:
    """Relays the connections to `host`."""

    def __init__(self, target: str) -> None:
        """Listen on a free port of the loopback interface; ``target`` is ``host:port``."""
        name, port = target.rsplit(":", 1)
        self._target = (name, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every open connection; new ones are accepted."""
        with self._lock:
            cut, self._sockets = self._sockets, []
        for end in cut:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                # This wakes the thread that reads from it; closing then sends the reset.
                end.shutdown(socket.SHUT_RD)
            end.close()

    def close(self) -> None:
        """Accept no more connections, and reset the open ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                with self._lock:
                    self._sockets += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while received := source.recv(_BUFFER_BYTES):
            sink.sendall(received)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def relaying(target: str) -> Iterator[Relay]:
    """Relay during the block."""
    relay = Relay(target)
    try:
        yield relay
    finally:
        relay.close()
