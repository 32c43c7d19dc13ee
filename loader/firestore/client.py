"""Connecting to Firestore: the real service with ADC, or an emulator."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.api_core import exceptions as google_errors
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport

from loader.errors import ConfigurationError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.environment import Environment

__all__ = ["Database", "connect", "service_errors"]

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024

_TRANSIENT = (
    google_errors.Aborted,
    google_errors.DeadlineExceeded,
    google_errors.InternalServerError,
    google_errors.ResourceExhausted,
    google_errors.ServiceUnavailable,
    google_errors.RetryError,
)


@dataclass(frozen=True)
class Database:
    """A connection and the names it needs; passed to whatever reads or writes documents."""

    api: FirestoreClient
    root: str
    """``projects/…/databases/(default)/documents``."""
    metadata: tuple[tuple[str, str], ...]
    """Sent with every call."""
    address: str
    """For error messages."""

    @property
    def name(self) -> str:
        """Return ``projects/…/databases/(default)``."""
        return self.root.removesuffix("/documents")

    def path(self, *segments: str) -> str:
        """Return the full name of a document or collection."""
        return "/".join((self.root, *segments))


def connect(environment: Environment) -> Database:
    """Return a connection; nothing is sent yet.

    Raises:
        ConfigurationError: There are no credentials for the real service.

    """
    root = f"projects/{environment.project}/databases/(default)/documents"
    host = environment.firestore_host
    if host is None:
        try:
            return Database(FirestoreClient(), root, _routing(root), "Firestore")
        except GoogleAuthError as error:
            message = "no credentials for Firestore"
            raise ConfigurationError(
                message,
                hint="run `gcloud auth application-default login`, or give the service account "
                "the role roles/datastore.user; for the local stack run `vmhub local env`",
            ) from error
    options = [
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ]
    transport = FirestoreGrpcTransport(
        channel=grpc.insecure_channel(host, options=options),
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
    )
    # The emulator grants administrator calls such as BatchWrite to this token only.
    owner = ("authorization", "Bearer owner")
    address = f"the Firestore emulator at {host}"
    return Database(FirestoreClient(transport=transport), root, (owner, *_routing(root)), address)


@contextmanager
def service_errors(database: Database, doing: str) -> Iterator[None]:
    """Turn Google's errors within the block into ours, each with what was being done."""
    try:
        yield
    except google_errors.GoogleAPICallError as error:
        raise _translated(database, doing, error) from error
    except (google_errors.RetryError, GoogleAuthError) as error:
        message = f"{doing}: {database.address} does not answer"
        raise ServiceError(message, hint=_HOW_TO_REACH, is_transient=True) from error


_HOW_TO_REACH = "check that it runs and is reachable, then run the same command again"


def _translated(
    database: Database, doing: str, error: google_errors.GoogleAPICallError
) -> ServiceError:
    if isinstance(error, google_errors.ServiceUnavailable | google_errors.DeadlineExceeded):
        message = f"{doing}: {database.address} does not answer"
        return ServiceError(message, hint=_HOW_TO_REACH, is_transient=True)
    # The status says enough; the service's text can quote a document's content.
    status: Any = error.grpc_status_code
    message = f"{doing}: {database.address} answered {status.name if status else error.code}"
    return ServiceError(message, is_transient=isinstance(error, _TRANSIENT))


def _routing(root: str) -> tuple[tuple[str, str], ...]:
    return (("google-cloud-resource-prefix", root.removesuffix("/documents")),)
