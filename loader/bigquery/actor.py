"""Who runs a command, for the audit log."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError
from loader.base.text import safe_text

if TYPE_CHECKING:
    from loader.bigquery.warehouse import Warehouse

__all__ = ["UNKNOWN", "actor"]

UNKNOWN = "unknown"
"""An account whose name BigQuery does not tell."""


def actor(warehouse: Warehouse, *, is_local: bool) -> str:
    """Return the account whose credentials a process uses; `local:` and a user on an emulator.

    BigQuery is asked, and not the credentials. Those of a person or of a virtual machine do not
    know their account, and a file of credentials can say anything. SESSION_USER() is the e-mail
    address of a person or a service account, also of an impersonated one, and the principal
    identifier of a federated identity
    (https://cloud.google.com/bigquery/docs/reference/standard-sql/security_functions).

    Args:
        warehouse: Connected with the process's own credentials.
        is_local: Whether BigQuery is an emulator, which asks for no credentials.

    Raises:
        ServiceError: BigQuery does not answer.

    """
    if is_local:
        return f"local:{_user()}"
    try:
        [row] = warehouse.query("select session_user() as account", doing="asking who runs this")
    except ConfigurationError:
        # It may write the log but run no query.
        return UNKNOWN
    return safe_text(str(row["account"] or UNKNOWN))


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        # A container's user need not have a name.
        return UNKNOWN
