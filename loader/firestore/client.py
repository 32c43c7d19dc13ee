"""Connecting to Firestore: the real service with ADC, or an emulator."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from google.api_core import exceptions as google_errors
from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
from google.cloud.firestore_v1.types import CommitRequest
from grpc.experimental import ChannelOptions

from loader.base.errors import ConfigurationError, ServiceError
from loader.firestore.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loader.base.environment import Environment

__all__ = [
    "CHANNEL_OPTIONS",
    "NO_CREDENTIALS",
    "Database",
    "connect",
    "emulator_metadata",
    "routing",
    "routing_header",
    "service_errors",
    "translated",
]

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    # Reconnect within seconds, not minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # The calling thread reads its own streams: this takes a quarter of the CPU per document
    # (https://grpc.github.io/grpc/python/grpc.html#grpc.experimental.ChannelOptions).
    (ChannelOptions.SingleThreadedUnaryStream, 1),
)
NO_CREDENTIALS = (
    "run `gcloud auth application-default login`, or give the service account the role "
    "roles/datastore.user; for the local stack run `vmhub local env`"
)

_TRANSIENT = (
    google_errors.Aborted,
    google_errors.Cancelled,
    google_errors.DeadlineExceeded,
    google_errors.InternalServerError,
    google_errors.ResourceExhausted,
    google_errors.ServiceUnavailable,
    google_errors.RetryError,
    google_errors.Unknown,
)


@dataclass(frozen=True)
class Database:
    """A connection and the names it needs; used by all code that reads or writes documents."""

    api: FirestoreClient
    root: str
    """``projects/…/databases/(default)/documents``."""
    channel: grpc.Channel
    """The same connection, for calls with raw bytes as messages."""
    metadata: tuple[tuple[str, str], ...]
    """Sent with every call."""
    address: str
    """For error messages."""
    traffic: Traffic = field(default_factory=Traffic, compare=False)
    """What was read and written over this connection."""

    @property
    def name(self) -> str:
        """Return ``projects/…/databases/(default)``."""
        return self.root.removesuffix("/documents")

    def path(self, *segments: str) -> str:
        """Return the full name of a document or collection."""
        return "/".join((self.root, *segments))

    def routed(self, parameter: str, value: str) -> tuple[tuple[str, str], ...]:
        """Return the metadata for a call that does not go through ``api``.

        Args:
            parameter: The request field that names the database.
            value: The value of that field.

        """
        return (*self.metadata, routing_header(parameter, value))

    def stream(
        self, method: str, request_type: Any, response_type: Any
    ) -> Callable[[Any, float], Iterator[Any]]:
        """Return a function that takes a request and a timeout in seconds; it yields raw responses.

        The client's own methods wrap every response in an object.
        """
        call = self.channel.unary_stream(
            f"/google.firestore.v1.Firestore/{method}",
            request_serializer=request_type.serialize,
            response_deserializer=response_type.pb().FromString,
        )
        parameter = "parent" if "parent" in request_type.meta.fields else "database"
        is_query = "document" in response_type.meta.fields

        def has_result(response: Any) -> bool:
            # The other kind of response names a document that was found or is missing; the one
            # that begins a transaction has neither.
            if is_query:
                return bool(response.HasField("document"))
            return response.WhichOneof("result") is not None

        def start(request: Any, timeout: float) -> Iterator[Any]:
            metadata = self.routed(parameter, getattr(request, parameter))
            responses: Iterator[Any] = call(request, metadata=metadata, timeout=timeout)
            return self._counted(responses, has_result)

        return start

    def commit(self, request: CommitRequest, timeout: float, **options: Any) -> None:
        """Send a commit; raises the client's own errors.

        Args:
            request: The writes.
            timeout: In seconds.
            options: The client's other options, such as its retry.

        """
        self.traffic.add_writes(len(CommitRequest.pb(request).writes))
        self.api.commit(request=request, metadata=self.metadata, timeout=timeout, **options)

    def _counted(
        self, responses: Iterator[Any], has_result: Callable[[Any], bool]
    ) -> Iterator[Any]:
        """Yield responses, and count their documents as reads: at least one for the request."""
        reads = 0
        try:
            for response in responses:
                reads += has_result(response)
                yield response
        finally:
            self.traffic.add_reads(max(reads, 1))


def connect(environment: Environment) -> Database:
    """Return a connection; nothing is sent yet.

    Raises:
        ConfigurationError: There are no credentials for the real service.

    """
    root = f"projects/{environment.project}/databases/(default)/documents"
    host = environment.firestore_host
    if host is None:
        try:
            channel = FirestoreGrpcTransport.create_channel(
                FirestoreClient.DEFAULT_ENDPOINT, options=CHANNEL_OPTIONS
            )
        except GoogleAuthError as error:
            message = "no credentials for Firestore"
            raise ConfigurationError(message, hint=NO_CREDENTIALS) from error
        address, metadata = "Firestore", routing(root)
    else:
        channel = grpc.insecure_channel(host, options=CHANNEL_OPTIONS)
        address = f"the Firestore emulator at {host}"
        metadata = emulator_metadata(root)
    transport = FirestoreGrpcTransport(
        channel=channel,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call] # the channel has them
    )
    return Database(FirestoreClient(transport=transport), root, channel, metadata, address)


@contextmanager
def service_errors(database: Database, doing: str) -> Iterator[None]:
    """Turn Google's errors in the block into ours; ``doing`` says what was being done."""
    try:
        yield
    except google_errors.GoogleAPICallError as error:
        raise translated(database, doing, error) from error
    except grpc.RpcError as error:
        raise translated(database, doing, error) from error
    except (google_errors.RetryError, GoogleAuthError) as error:
        message = f"{doing}: {database.address} does not answer"
        raise ServiceError(message, hint=_HOW_TO_REACH, is_transient=True) from error


_HOW_TO_REACH = "check that it runs and is reachable, then run the same command again"


class _Addressed(Protocol):
    """An object with an address for error messages."""

    @property
    def address(self) -> str: ...


def translated(
    database: _Addressed, doing: str, error: google_errors.GoogleAPICallError | grpc.RpcError
) -> ServiceError:
    """Return an error of Google's client or gRPC as ours; ``doing`` says what was being done."""
    if isinstance(error, grpc.RpcError):
        error = google_errors.from_grpc_error(error)  # type: ignore[no-untyped-call]
    if isinstance(error, google_errors.ServiceUnavailable | google_errors.DeadlineExceeded):
        message = f"{doing}: {database.address} does not answer"
        return ServiceError(message, hint=_HOW_TO_REACH, is_transient=True)
    # The status says enough; the service's text can quote a document's content.
    status: Any = error.grpc_status_code
    message = f"{doing}: {database.address} answered {status.name if status else error.code}"
    if isinstance(error, google_errors.Forbidden | google_errors.Unauthenticated):
        return ServiceError(message, hint="docs/real-project.md lists the roles each command needs")
    return ServiceError(message, is_transient=isinstance(error, _TRANSIENT))


def routing_header(parameter: str, value: str) -> tuple[str, str]:
    """Return the metadata by which the service finds the database of a call."""
    header: tuple[str, str] = to_grpc_metadata({parameter: value})  # type: ignore[no-untyped-call]
    return header


def emulator_metadata(root: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata for every call to an emulator."""
    # It grants administrator calls such as BatchWrite to this token only.
    return (("authorization", "Bearer owner"), *routing(root))


def routing(root: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata for every call."""
    return (("google-cloud-resource-prefix", root.removesuffix("/documents")),)
