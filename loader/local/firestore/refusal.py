"""How a call ends when it is not answered."""

from __future__ import annotations

from typing import NoReturn

import grpc

__all__ = ["RefusedCall", "invalid", "unknown"]


class RefusedCall(Exception):  # noqa: N818 - a status is an answer
    """A call ends with a status other than OK."""

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        """End with this status; ``details`` is its message."""
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


def invalid(details: str) -> NoReturn:
    """Refuse a request that the service refuses, too."""
    raise RefusedCall(grpc.StatusCode.INVALID_ARGUMENT, details)


def unknown(what: str) -> NoReturn:
    """Refuse a request that only the service knows."""
    message = f"the embedded Firestore does not know {what}; use Google's emulator for it"
    raise RefusedCall(grpc.StatusCode.UNIMPLEMENTED, message)
