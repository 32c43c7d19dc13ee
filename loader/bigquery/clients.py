"""Google's clients of BigQuery, with the credentials that a laundromat is served with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import google.auth
import grpc
from google.api_core.client_options import ClientOptions
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)

if TYPE_CHECKING:
    from loader.base.environment import Environment

__all__ = ["clients"]

_EMULATOR_OPTIONS = (
    # A batch can be larger than gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", 128 * 1024 * 1024),
    # On one machine, sending ahead of the reader saves no time and costs memory.
    ("grpc.http2.bdp_probe", 0),
)

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


def clients(
    environment: Environment, account: str | None
) -> tuple[bigquery.Client, BigQueryReadClient]:
    """Return a client of the REST API and one of the Storage Read API; nothing is sent yet.

    Args:
        environment: Where BigQuery is.
        account: The service account to act as; None: the process's own credentials.

    Raises:
        GoogleAuthError: There are no credentials for the real service.

    """
    if environment.bigquery_url is None:
        own, _ = google.auth.default(scopes=_SCOPES)
        acting: Any = own
        if account:
            acting = impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]
                own, account, target_scopes=_SCOPES
            )
        client = bigquery.Client(
            project=environment.project, location=environment.location, credentials=acting
        )
        return client, BigQueryReadClient(credentials=acting)  # type: ignore[no-untyped-call]
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = bigquery.Client(
        project=environment.project,
        location=environment.location,
        credentials=credentials,
        client_options=ClientOptions(api_endpoint=environment.bigquery_url),
    )
    channel = grpc.insecure_channel(environment.bigquery_storage_host, options=_EMULATOR_OPTIONS)
    transport = BigQueryReadGrpcTransport(channel=channel, credentials=credentials)
    return client, BigQueryReadClient(transport=transport)  # type: ignore[no-untyped-call]
