"""BigQuery's errors as errors of the loader, without what could quote a row."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from google.api_core import exceptions as google_errors
from google.auth.exceptions import GoogleAuthError
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import Timeout as RequestsTimeout

from loader.base.errors import ConfigurationError, NotFoundError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["service_errors"]


@contextmanager
def service_errors(doing: str, address: str) -> Iterator[None]:
    """Turn errors of BigQuery's clients into errors that name the work and the fix.

    Args:
        doing: The work, as "reading X.Y".
        address: Which BigQuery, as people know it.

    Raises:
        ServiceError: It does not answer (transient), or it answered something unexpected.
        ConfigurationError: A permission is missing.
        NotFoundError: A dataset or table is missing.

    """
    try:
        yield
    except (
        google_errors.ServiceUnavailable,
        google_errors.RetryError,
        RequestsConnectionError,
        RequestsTimeout,
        GoogleAuthError,
    ) as error:
        message = f"{doing}: {address} does not answer"
        raise ServiceError(
            message,
            hint="check that it runs and is reachable, then run the same command again",
            is_transient=True,
        ) from error
    except google_errors.Forbidden as error:
        message = f"{doing}: permission denied by {address}"
        raise ConfigurationError(
            message, hint="docs/real-project.md lists the roles each command needs"
        ) from error
    except google_errors.NotFound as error:
        message = f"{doing}: not found in {address}"
        raise NotFoundError(
            message, hint="run `vmhub onboard`, then `vmhub build`, for this CNPJ"
        ) from error
    except google_errors.GoogleAPICallError as error:
        # Show the reason only: the service's text can quote a cell of the table.
        reasons = ", ".join(str(item.get("reason", "")) for item in error.errors) or error.code
        message = f"{doing}: {address} answered {reasons}"
        raise ServiceError(message) from error
