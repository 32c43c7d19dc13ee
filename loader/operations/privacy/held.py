"""Holds a laundromat's lease, so that no run brings back what is being erased."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from loader.base.errors import RunError, VmhubError
from loader.firestore.lease import Leases, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.base.cnpj import Cnpj
    from loader.firestore.client import Database
    from loader.firestore.lease import Lease

__all__ = ["LASTS", "held"]

LASTS = timedelta(minutes=10)
"""How long the lease of a run that died is valid. No step takes longer."""

_log = logging.getLogger(__name__)


@contextmanager
def held(database: Database, cnpj: Cnpj, holder: str) -> Iterator[Lease]:
    """Hold a laundromat's lease during the block; the block renews it before each step.

    Args:
        database: The connection.
        cnpj: The laundromat.
        holder: Names the work: the same work takes its lease again after it died.

    Raises:
        RunError: A run is serving the laundromat.
        ServiceError: Firestore does not answer.

    """
    leases = Leases(database, holder, lasts=LASTS)
    lease = leases.take(cnpj, since=leases.now())
    if isinstance(lease, Refusal):
        message = f"a run is serving {cnpj} now; nothing was changed"
        raise RunError(message, hint="run the same command again in a few minutes")
    try:
        yield lease
    finally:
        try:
            lease.give_back(is_served=False)
        except VmhubError as error:
            # The lease expires by itself.
            _log.warning("giving back the lease of %s: %s", cnpj, error)
