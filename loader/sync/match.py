"""Matches pending documents with rows, in about sixty bytes per pair.

A row and a document are matched by 128 bits of a hash of their campaign and customer. If two
customers of a laundromat ever had the same bits, one of the two rows would be rejected as a second
row: counted and named, not silently lost. The chance is below one in 10^26 for a million rows.
"""

from __future__ import annotations

from array import array
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from loader.sync.model import Status, TargetDocument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loader.sync.model import Target

__all__ = ["Matches", "RowKeys", "RowState", "Withdrawals"]

_KEY_BYTES = 16
_KEY_TYPE = f"S{_KEY_BYTES}"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_INSTANT = -(2**63)
_NO_KEY = bytes(_KEY_BYTES)


class RowState(IntEnum):
    """The state of a row after the first reading."""

    ACCEPTED = 0
    REJECTED = 1
    SECOND = 2
    """Another row of the same customer and campaign came before."""
    NOT_ASKED_FOR = 3
    """Its campaign must not be synced."""
    SUPPRESSED = 4
    """Its customer has opted out."""


class RowKeys:
    """Key and state of each row of campaign_targets, by position."""

    def __init__(self) -> None:
        """Begin without rows."""
        self._keys = bytearray()
        self._fates = bytearray()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._fates)

    def add(self, targets: Sequence[Target], states: Sequence[RowState]) -> None:
        """Add the next rows."""
        self._fates += bytes(states)
        # A row that is not accepted needs no key: it is never looked up.
        self._keys += b"".join(
            [
                _NO_KEY if state else _key(target.campaign_type, target.customer_id)
                for target, state in zip(targets, states, strict=True)
            ]
        )

    def matches(self) -> Matches:
        """Return the rows for matching; no more rows can be added."""
        states = np.frombuffer(self._fates, np.uint8).copy()
        # numpy drops trailing zero bytes, but keys of one length still differ.
        keys = np.frombuffer(self._keys, _KEY_TYPE)
        accepted = np.flatnonzero(states == RowState.ACCEPTED)
        # A stable sort: of equal keys, the first row stays first.
        positions = accepted[np.argsort(keys[accepted], kind="stable")].astype(np.int32)
        ordered = keys[positions]
        is_second = np.zeros(len(ordered), bool)
        is_second[1:] = ordered[1:] == ordered[:-1]
        states[positions[is_second]] = RowState.SECOND
        return Matches(states, ordered[~is_second], positions[~is_second])


class Matches:
    """The rows, with the facts needed to decide about their pending documents."""

    def __init__(
        self,
        states: np.ndarray[tuple[int], np.dtype[np.uint8]],
        keys: np.ndarray[tuple[int], np.dtype[np.bytes_]],
        positions: np.ndarray[tuple[int], np.dtype[np.int32]],
    ) -> None:
        """Take the sorted keys of the accepted rows, and the rows' positions."""
        self._fates = states.tobytes()
        self._keys = keys
        self._positions = positions
        self._document_of_row = np.full(len(states), -1, np.int32)
        self._payloads = bytearray()
        self._update_times = array("q")
        self._created_at = array("q")
        self._claimed_until = array("q")
        self._is_recorded = bytearray()
        self._has_open_attempt = bytearray()
        self._doubts: dict[int, str] = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._fates)

    def add(self, campaign_type: str, documents: Sequence[TargetDocument]) -> list[TargetDocument]:
        """Match pending documents; return those without a row."""
        if not len(self._keys):
            return list(documents)
        joined = b"".join(_key(campaign_type, document.customer_id) for document in documents)
        keys = np.frombuffer(joined, _KEY_TYPE)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        without_row = []
        for document, place, is_match in zip(
            documents, places.tolist(), (self._keys[places] == keys).tolist(), strict=True
        ):
            if is_match:
                self._document_of_row[self._positions[place]] = len(self._update_times)
                self._remember(document)
            else:
                without_row.append(document)
        return without_row

    def forget_keys(self) -> None:
        """Free the memory used for matching; no documents can be added afterwards."""
        self._keys, self._positions = self._keys[:0].copy(), self._positions[:0].copy()

    def states(self, start: int, count: int) -> bytes:
        """Return the states of rows from a position on, one byte each."""
        return self._fates[start : start + count]

    def documents(self, start: int, targets: Sequence[Target]) -> list[TargetDocument | None]:
        """Return the pending documents of rows from a position on, as they were read."""
        numbers = self._document_of_row[start : start + len(targets)].tolist()
        return [
            None if number < 0 else self._document(number, target.customer_id)
            for number, target in zip(numbers, targets, strict=True)
        ]

    def _document(self, number: int, customer_id: str) -> TargetDocument:
        start = number * _KEY_BYTES
        return TargetDocument(
            customer_id=customer_id,
            update_time=_EPOCH + self._update_times[number] * _MICROSECOND,
            status=Status.PENDING,
            payload=bytes(self._payloads[start : start + _KEY_BYTES]),
            created_at=_from_microseconds(self._created_at[number]),
            claimed_until=_from_microseconds(self._claimed_until[number]),
            is_recorded=bool(self._is_recorded[number]),
            doubt=self._doubts.get(number, ""),
            has_open_attempt=bool(self._has_open_attempt[number]),
        )

    def _remember(self, document: TargetDocument) -> None:
        if document.doubt:
            self._doubts[len(self._update_times)] = document.doubt
        self._payloads += document.payload
        self._update_times.append(_to_microseconds(document.update_time))
        self._created_at.append(_to_microseconds(document.created_at))
        self._claimed_until.append(_to_microseconds(document.claimed_until))
        self._is_recorded.append(document.is_recorded)
        self._has_open_attempt.append(document.has_open_attempt)


class Withdrawals:
    """The pending documents without a row, with the facts needed to withdraw each."""

    def __init__(self) -> None:
        """Begin without any."""
        self._ids: dict[str, list[str]] = {}
        self._update_times: dict[str, array[int]] = {}
        self._was_attempted: dict[str, bytearray] = {}

    def add(self, campaign_type: str, document: TargetDocument) -> None:
        """Add a campaign's document."""
        self._ids.setdefault(campaign_type, []).append(document.customer_id)
        times = self._update_times.setdefault(campaign_type, array("q"))
        times.append(_to_microseconds(document.update_time))
        attempted = self._was_attempted.setdefault(campaign_type, bytearray())
        attempted.append(document.was_attempted)

    def __iter__(self) -> Iterator[tuple[str, TargetDocument]]:
        """Yield campaign and document of each."""
        for campaign_type, ids in self._ids.items():
            update_times = self._update_times[campaign_type]
            attempted = self._was_attempted[campaign_type]
            for customer_id, number, was_attempted in zip(
                ids, update_times, attempted, strict=True
            ):
                yield (
                    campaign_type,
                    TargetDocument(
                        customer_id,
                        update_time=_EPOCH + number * _MICROSECOND,
                        status=Status.PENDING,
                        payload=b"",
                        was_attempted=bool(was_attempted),
                    ),
                )


def _key(campaign_type: str, customer_id: str) -> bytes:
    # Neither part of an accepted row can contain a slash.
    path = f"{campaign_type}/{customer_id}".encode()
    return blake2b(path, digest_size=_KEY_BYTES).digest()


def _to_microseconds(instant: datetime | None) -> int:
    return _NO_INSTANT if instant is None else (instant - _EPOCH) // _MICROSECOND


def _from_microseconds(number: int) -> datetime | None:
    return None if number == _NO_INSTANT else _EPOCH + number * _MICROSECOND
