"""The lease of whoever serves a laundromat or sends for a portfolio.

A lease is taken and changed in transactions. It lasts for a short time, and its holder renews it.
When a holder dies, another run takes the lease over once it has expired. All instants are the
service's own, so the machines' clocks do not matter.

A lease only avoids that two runs do the same work. It does not protect the data: a holder that
sleeps past its lease wakes up and goes on. The preconditions of the writes do that (docs/sync.md,
docs/track.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    CommitRequest,
)

from loader.base.errors import RunError, ServiceError
from loader.base.fields import Fields
from loader.base.retry import Retry
from loader.firestore.client import service_errors
from loader.firestore.values import decode_fields, decode_instant
from loader.firestore.wire import encode_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from loader.firestore.client import Database

__all__ = ["Lease", "LeaseLostError", "Leases", "Refusal", "portfolio_place"]

_TIMEOUT_SECONDS = 10.0
_LONGEST = timedelta(days=1)


def _laundromat_place(cnpj: str) -> tuple[str, ...]:
    return ("users", cnpj, "operations", "run")


def portfolio_place(portfolio_id: str) -> tuple[str, ...]:
    """Return where the lease of whoever sends for a portfolio is."""
    return ("portfolios", portfolio_id, "operations", "send")


class Refusal(Enum):
    """Why a run must not serve a laundromat now."""

    HELD = "held"
    """Another run is serving it."""
    SERVED = "served"
    """Another run has taken it and finished since this run began."""


class LeaseLostError(RunError):
    """Another run has taken over, since this one did not renew its lease in time."""


class Leases:
    """The leases of a database, for one holder."""

    def __init__(
        self,
        database: Database,
        holder: str,
        *,
        lasts: timedelta,
        retry: Retry | None = None,
        place: Callable[[str], tuple[str, ...]] = _laundromat_place,
    ) -> None:
        """Use this database.

        Args:
            database: The connection.
            holder: The run's name; the same holder may take its lease again.
            lasts: How long a lease is valid without a renewal.
            retry: How long to retry a silent service, or a conflict with another run.
            place: Where the lease of a key is: of a CNPJ, or of a portfolio's id.

        """
        self._place = place
        self._database = database
        self._holder = holder
        self._lasts = lasts
        self._retry = retry or Retry(patience_seconds=20.0)
        self._get = database.stream(
            "BatchGetDocuments", BatchGetDocumentsRequest, BatchGetDocumentsResponse
        )

    def now(self) -> datetime:
        """Return the service's time."""
        request = BatchGetDocumentsRequest(
            database=self._database.name, documents=[self._database.path("users", "clock")]
        )

        def ask() -> datetime:
            with service_errors(self._database, "asking for the time"):
                [response] = self._get(request, _TIMEOUT_SECONDS)
            return decode_instant(response.read_time)

        return self._retry.call(ask)

    def take(self, key: str, *, since: datetime) -> Lease | Refusal:
        """Take a lease.

        Args:
            key: The laundromat or portfolio.
            since: The service's time at which the run began.

        Raises:
            ServiceError: Firestore does not answer.

        """

        def take() -> Lease | Refusal:
            state = self._read(key)
            if state.is_held and state.holder != self._holder:
                self._commit(key, state, {})
                return Refusal.HELD
            served_at = state.instant("servedAt")
            if served_at is not None and since < served_at <= state.read_at:
                self._commit(key, state, {})
                return Refusal.SERVED
            fields = {"holder": self._holder, "expiresAt": state.read_at + self._lasts}
            self._commit(key, state, fields)
            return Lease(
                self,
                key,
                taken_at=state.read_at,
                figures_as_of=state.instant("figuresAsOf"),
                deployed=Fields(state.fields).text("deployed"),
            )

        return self._retry.call(take)

    def drop(self, key: str) -> None:
        """Release a lease of this holder whose process ended without releasing it."""
        self.change(key, expires_in=timedelta())

    def change(
        self,
        key: str,
        *,
        expires_in: timedelta | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Change a lease that this run holds.

        Args:
            key: The laundromat or portfolio.
            expires_in: How long it is valid from now on; zero releases it; None: the usual time.
            notes: Fields for later runs.

        Raises:
            LeaseLostError: Another run has taken over.
            ServiceError: Firestore does not answer.

        """

        def change() -> None:
            state = self._read(key)
            if state.holder != self._holder:
                self._commit(key, state, {})
                message = f"another run has taken over {key}"
                raise LeaseLostError(
                    message, hint="it goes on; find out why this run did not renew its lease"
                )
            lasts = self._lasts if expires_in is None else expires_in
            expires_at = state.read_at + lasts
            self._commit(key, state, {**(notes or {}), "expiresAt": expires_at})

        self._retry.call(change)

    def _read(self, key: str) -> _State:
        """Begin a transaction by reading a lease."""
        request = BatchGetDocumentsRequest(
            database=self._database.name,
            documents=[self._path(key)],
            new_transaction={"read_write": {}},
        )
        transaction, fields, read_at = b"", {}, None
        with service_errors(self._database, f"reading the lease of {key}"):
            for response in self._get(request, _TIMEOUT_SECONDS):
                transaction = response.transaction or transaction
                if response.HasField("read_time"):
                    read_at = decode_instant(response.read_time)
                if response.HasField("found"):
                    fields = decode_fields(response.found.fields)
        if read_at is None:
            message = f"reading the lease of {key}: {self._database.address} broke off"
            raise ServiceError(message, is_transient=True)
        return _State(fields, read_at, transaction)

    def _commit(self, key: str, state: _State, fields: dict[str, Any]) -> None:
        """End a transaction."""
        request = CommitRequest(database=self._database.name, transaction=state.transaction)
        if fields:
            write = CommitRequest.pb(request).writes.add()
            write.update.name = self._path(key)
            write.update.MergeFromString(encode_fields(fields))
            write.update_mask.field_paths.extend(fields)
        with service_errors(self._database, f"keeping the lease of {key}"):
            # No retry by the client: after an unknown outcome, a new transaction must begin.
            self._database.commit(request, _TIMEOUT_SECONDS, retry=None)

    def _path(self, key: str) -> str:
        return self._database.path(*self._place(key))


@dataclass(frozen=True)
class Lease:
    """A lease that this run holds; it must renew it until it releases it."""

    leases: Leases
    key: str
    taken_at: datetime
    """The service's time; the holder may not have seen later events."""
    figures_as_of: datetime | None
    """The as-of instant of the last build of the daily figures."""
    deployed: str | None
    """The version of the seeds that were last loaded for the laundromat."""

    def renew(self) -> None:
        """Extend it from now on; raise a LeaseLostError when another run has it."""
        self.leases.change(self.key)

    def note_figures(self, as_of: datetime) -> None:
        """Remember that the daily figures were built as of an instant."""
        self.leases.change(self.key, notes={"figuresAsOf": as_of})

    def note_deployed(self, version: str) -> None:
        """Remember that the seeds of a version were loaded."""
        self.leases.change(self.key, notes={"deployed": version})

    def give_back(self, *, is_served: bool) -> None:
        """Release it; ``is_served`` says that other runs have nothing left to do."""
        notes = {"servedAt": self.taken_at} if is_served else None
        self.leases.change(self.key, expires_in=timedelta(), notes=notes)


@dataclass(frozen=True)
class _State:
    """A lease's document as read in a transaction."""

    fields: dict[str, Any]
    read_at: datetime
    transaction: bytes

    @property
    def holder(self) -> str | None:
        """Return its last holder."""
        return Fields(self.fields).text("holder")

    @property
    def is_held(self) -> bool:
        """Return whether it has not expired; nobody takes a lease for a day."""
        expires_at = self.instant("expiresAt")
        return expires_at is not None and self.read_at < expires_at <= self.read_at + _LONGEST

    def instant(self, name: str) -> datetime | None:
        """Return an instant; None: there is none that can be read."""
        return Fields(self.fields).instant(name)
