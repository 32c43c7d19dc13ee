"""The store of the documents behind a `FaultServer`: Google's emulator, while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from loader.local.firestore import RefusedCall

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BIDIRECTIONAL", "CHANNEL_OPTIONS", "Backend", "Call", "EmulatorBackend", "RefusedCall"]

# Methods with a stream of requests. On the wire a single request or reply is a stream of one.
BIDIRECTIONAL = frozenset({"Listen", "Write"})

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
)

# Headers that are set again on the way to the backend.
_OWN_METADATA = ("user-agent", "grpc-", "te", "content-type", ":")


@dataclass(frozen=True)
class Call:
    """One call of a method; its messages stay bytes."""

    method: str
    """Such as ``BatchWrite``."""
    request: Any
    """Bytes, or an iterator of bytes for the bidirectional methods."""
    metadata: tuple[tuple[str, str | bytes], ...] = ()


class Backend(Protocol):
    """Answers calls."""

    def answer(self, call: Call) -> Iterator[bytes]:
        """Yield the replies; raise a RefusedCall for a status other than OK."""


class EmulatorBackend:
    """Passes every call on to a Firestore server and its answers back."""

    def __init__(self, host: str) -> None:
        self._channel = grpc.insecure_channel(host, options=CHANNEL_OPTIONS)

    def answer(self, call: Call) -> Iterator[bytes]:
        method = f"/google.firestore.v1.Firestore/{call.method}"
        is_stream = call.method in BIDIRECTIONAL
        send = (self._channel.stream_stream if is_stream else self._channel.unary_stream)(method)
        metadata = [
            (name, value) for name, value in call.metadata if not name.startswith(_OWN_METADATA)
        ]
        try:
            yield from send(call.request, metadata=metadata)
        except grpc.RpcError as error:
            raise RefusedCall(error.code(), error.details()) from error

    def close(self) -> None:
        self._channel.close()
