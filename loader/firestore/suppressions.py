"""Writes ``users/{cnpj}/suppressions/{id}``; `loader.firestore.changes` reads them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import CommitRequest

from loader.firestore.aio import encoded_write
from loader.firestore.client import service_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loader.base.cnpj import Cnpj
    from loader.firestore.client import Database

__all__ = ["SuppressionStore"]

_WRITES_AT_A_TIME = 400
_TIMEOUT_SECONDS = 60.0


class SuppressionStore:
    """Writes the suppressions of one laundromat, and of no other."""

    def __init__(self, database: Database, cnpj: Cnpj) -> None:
        """Bind the store to one laundromat's part of the database."""
        self._database = database
        self._cnpj = cnpj

    def write(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """Write fields of documents, by id; a field with None is removed.

        They are written in parts of 400, each one completely or not at all. Writing the same again
        changes nothing, so after an error the call can be repeated.

        Raises:
            ServiceError: Firestore does not answer; earlier parts are written.

        """
        items = iter(documents.items())
        while part := list(islice(items, _WRITES_AT_A_TIME)):
            commit = CommitRequest(database=self._database.name)
            raw = CommitRequest.pb(commit)
            for event_id, fields in part:
                name = self._database.path("users", self._cnpj, "suppressions", event_id)
                raw.writes.add().MergeFromString(encoded_write(name, fields))
            with service_errors(self._database, f"writing opt-outs of {self._cnpj}"):
                self._database.commit(commit, _TIMEOUT_SECONDS)
