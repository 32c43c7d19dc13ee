"""Secrets by Google's own client, against a Secret Manager of ours on the loopback interface."""

from __future__ import annotations

import logging
from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.cloud import secretmanager
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)

from tests.whatsapp.sending.virtual_time import run_in_virtual_time
from whatsapp.tokens import SecretError, Secrets, read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "projects/p/secrets/whatsapp/versions/latest"
TOKEN = "token-that-nobody-may-see"
_SERVICE = "google.cloud.secretmanager.v1.SecretManagerService"


class SecretManager:
    """Answers AccessSecretVersion, for as long as it is not told to refuse."""

    def __init__(self) -> None:
        self.versions: dict[str, bytes] = {NAME: TOKEN.encode()}
        self.refusal: grpc.StatusCode | None = None
        self.asked: list[str] = []

    def access(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.asked.append(request.name)
        if self.refusal is not None:
            context.abort(self.refusal, f"refused; the token is {TOKEN}")
        if request.name not in self.versions:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is none")
        payload = secretmanager.SecretPayload(data=self.versions[request.name])
        return secretmanager.AccessSecretVersionResponse(name=request.name, payload=payload)


@contextmanager
def serving() -> Iterator[tuple[SecretManager, Callable[[], Any]]]:
    """Serve for the length of a block; yields the service, and what connects to it."""
    manager = SecretManager()
    handler = grpc.unary_unary_rpc_method_handler(
        manager.access,
        request_deserializer=secretmanager.AccessSecretVersionRequest.deserialize,
        response_serializer=secretmanager.AccessSecretVersionResponse.serialize,
    )
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(_SERVICE, {"AccessSecretVersion": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def connect() -> Any:
        transport = SecretManagerServiceGrpcTransport(channel=channel)
        return secretmanager.SecretManagerServiceClient(transport=transport)

    try:
        yield manager, connect
    finally:
        channel.close()
        server.stop(None).wait()


def test_a_token_is_read_by_its_name_and_without_the_line_end_of_its_file() -> None:
    with serving() as (manager, connect):
        manager.versions[NAME] = f"{TOKEN}\n".encode()
        assert read_secret(NAME, {}, connect=connect) == TOKEN
        assert manager.asked == [NAME]


@pytest.mark.parametrize(
    ("refusal", "is_transient"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, False),
        (grpc.StatusCode.NOT_FOUND, False),
        (grpc.StatusCode.FAILED_PRECONDITION, False),
        (grpc.StatusCode.DEADLINE_EXCEEDED, True),
        (grpc.StatusCode.UNAVAILABLE, True),
    ],
)
def test_a_refusal_names_the_secret_and_nothing_else(
    refusal: grpc.StatusCode, *, is_transient: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with serving() as (manager, connect):
        manager.refusal = refusal
        with pytest.raises(SecretError) as caught:
            read_secret(NAME, {}, connect=connect)
    error = caught.value
    assert NAME in error.message
    assert error.is_transient == is_transient
    assert ("secretAccessor" in error.hint) != is_transient
    # Nor does the cause, which a traceback would show.
    assert TOKEN not in f"{error.message} {error.hint} {error.__cause__} {caplog.text}"
    assert error.__suppress_context__


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_secret_without_a_text_is_no_token(content: bytes) -> None:
    with serving() as (manager, connect):
        manager.versions[NAME] = content
        with pytest.raises(SecretError, match=r"is empty|is no text") as caught:
            read_secret(NAME, {}, connect=connect)
    assert not caught.value.is_transient


def test_a_token_that_was_rotated_is_used_within_five_minutes_and_at_once_when_refused() -> None:
    now = 0.0
    with serving() as (manager, connect):

        async def read(name: str) -> str:
            return read_secret(name, {}, connect=connect)

        async def play() -> None:
            nonlocal now
            secrets = Secrets(clock=lambda: now, read=read)
            assert await secrets.get(NAME) == TOKEN
            manager.versions[NAME] = b"second"
            now = 299.0
            assert await secrets.get(NAME) == TOKEN
            now = 301.0
            assert await secrets.get(NAME) == "second"
            assert not await secrets.has_changed(NAME)
            manager.versions[NAME] = b"third"
            assert await secrets.has_changed(NAME)
            assert await secrets.get(NAME) == "third"
            manager.refusal = grpc.StatusCode.PERMISSION_DENIED
            assert not await secrets.has_changed(NAME)

        run_in_virtual_time(play())
        assert len(manager.asked) == 5


@pytest.mark.parametrize("name", ["EAAG0fake", "projects/p/secrets/s", "whatsapp token", ""])
def test_what_is_no_name_is_refused_without_being_repeated(name: str) -> None:
    with pytest.raises(SecretError) as caught:
        read_secret(name, {name: "x"})
    assert not name or name not in caught.value.message


def test_a_variable_is_read_and_named_when_it_is_not_set() -> None:
    assert read_secret("TOKEN_A", {"TOKEN_A": " t "}) == "t"
    with pytest.raises(SecretError, match="TOKEN_A is not set"):
        read_secret("TOKEN_A", {"TOKEN_A": " "})
