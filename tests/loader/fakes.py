"""In-memory fakes of the ports of `loader.sync.run`, with sample rows and documents."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from hashlib import md5
from typing import TYPE_CHECKING, Any, Union

from loader.base.errors import ServiceError
from loader.sync.decide import Action
from loader.sync.model import Status, Target, TargetDocument
from loader.sync.ports import UnfitValueError, Write, WriteResult
from tests.support import AS_OF, NUMERIC_CNPJ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from loader.base.cnpj import Cnpj

CYCLE_START = datetime(2026, 1, 1, 3, tzinfo=UTC)
EXPIRES_AT = datetime(2026, 11, 23, 23, tzinfo=UTC)
EARLIER = AS_OF - timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
DATA = '{"message": "Feliz aniversário, Ana! 🎂", "age": 36}'
PAYLOAD = ("name", "phone", "data", "cycle_key", "cycle_start", "expires_at")
PART = 3
MAX_DATA = 1000


def make_target(customer_id: str = "c1", **changes: Any) -> Target:
    """Return a row of campaign_targets of this cycle that has not expired."""
    target = Target(
        cnpj=NUMERIC_CNPJ,
        campaign_type="BIRTHDAY",
        customer_id=customer_id,
        name="Ana Exemplo",
        phone="+5511900000001",
        data=DATA,
        cycle_key="2026",
        cycle_start=CYCLE_START,
        expires_at=EXPIRES_AT,
        built_at=AS_OF,
    )
    if isinstance(changes.get("data"), dict):
        changes["data"] = json.dumps(changes["data"], ensure_ascii=False)
    return target._replace(**changes)


def make_document(customer_id: str = "c1", **changes: Any) -> TargetDocument:
    """Return the document that was written an hour ago for the row of `make_target`.

    A change of a field that comes from the row, such as the name, also changes the digest.
    """
    given = {name: changes.pop(name) for name in Target._fields if name in changes}
    document = TargetDocument(
        customer_id=customer_id,
        update_time=EARLIER,
        status=Status.PENDING,
        payload=payload_digest(make_target(customer_id, **given)),
        created_at=EARLIER,
        updated_at=EARLIER,
        expires_at=given.get("expires_at", EXPIRES_AT),
    )
    return replace(document, **changes)


def payload_digest(target: Target) -> bytes:
    """Return a digest of the fields that a row sets in its document."""
    given = [getattr(target, name) for name in PAYLOAD]
    return md5(repr(given).encode(), usedforsecurity=False).digest()


@dataclass
class FakeSource:
    """A campaign_targets that was published at some instant, or never."""

    rows: Sequence[Target]
    built_at: datetime | None = AS_OF
    opt_outs: set[tuple[str, str]] = field(default_factory=set)

    def opted_out(self, cnpj: Cnpj) -> set[tuple[str, str]]:
        assert cnpj == NUMERIC_CNPJ
        return self.opt_outs

    def published_at(self, cnpj: Cnpj) -> datetime | None:
        assert cnpj == NUMERIC_CNPJ
        return self.built_at

    def targets(self, cnpj: Cnpj) -> Sequence[Sequence[Target]]:
        assert cnpj == NUMERIC_CNPJ
        return [self.rows[start : start + PART] for start in range(0, len(self.rows), PART)]


@dataclass
class FakeClock:
    """A clock that moves only when somebody sleeps."""

    now: float = 1000.0
    sleeps: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


class Fault(Enum):
    """What can happen to a write on its way."""

    LANDED_UNCONFIRMED = auto()
    """The write takes effect, but its confirmation is lost."""
    NEVER_ARRIVED = auto()
    """The write itself is lost; to the caller this looks the same."""


AnyFault = Union[Fault, str, ServiceError, "Callable[[FakeStore], None]"]


@dataclass
class FakeStore:
    """Documents with Firestore's preconditions, and the planned faults."""

    documents: dict[tuple[str, str], TargetDocument] = field(default_factory=dict)
    faults: dict[str, list[AnyFault]] = field(default_factory=dict)
    """Per customer id, one per try: a fault, a refusal, or a write by another program."""
    read_errors: Iterator[ServiceError | None] = field(default_factory=lambda: iter(()))
    """Errors that the next reads raise, one per read."""
    query_errors: Iterator[ServiceError | None] = field(default_factory=lambda: iter(()))
    """Errors raised before the next pending documents, one per document."""
    documents_read: int = 0
    asked: list[Write] = field(default_factory=list)
    """Every write that was tried."""
    effects: list[Write] = field(default_factory=list)
    """Every write that changed a document."""
    _ticks: int = 0

    @classmethod
    def of(cls, *documents: TargetDocument, campaign_type: str = "BIRTHDAY") -> FakeStore:
        """Return a store that holds these documents of one campaign."""
        return cls({(campaign_type, document.customer_id): document for document in documents})

    def get(self, customer_id: str) -> TargetDocument | None:
        """Return a BIRTHDAY document."""
        return self.documents.get(("BIRTHDAY", customer_id))

    def put(self, document: TargetDocument) -> None:
        """Write a BIRTHDAY document, as another program would."""
        key = ("BIRTHDAY", document.customer_id)
        self.documents[key] = replace(document, update_time=self._tick())

    @property
    def writes_sent(self) -> int:
        return len(self.asked)

    def pending(self, campaign_type: str, *, after: str | None = None) -> Iterator[TargetDocument]:
        for (own_type, customer_id), document in sorted(self.documents.items()):
            if own_type == campaign_type and document.status == Status.PENDING:
                if after is not None and customer_id <= after:
                    continue
                _raise_next(self.query_errors)
                self.documents_read += 1
                yield document

    def read(
        self, campaign_type: str, customer_ids: Sequence[str]
    ) -> dict[str, TargetDocument | None]:
        _raise_next(self.read_errors)
        self.documents_read += len(customer_ids)
        return {id_: self.documents.get((campaign_type, id_)) for id_ in customer_ids}

    def payload(self, target: Target) -> bytes:
        if len(target.data) > MAX_DATA:
            message = "the payload is too large"
            raise UnfitValueError(message)
        return payload_digest(target)

    def digest(self, payload: bytes) -> bytes:
        return payload

    def write(
        self, writes: Iterable[Write], *, as_of: datetime
    ) -> Iterator[tuple[Write, WriteResult | str | ServiceError]]:
        for write in writes:
            self.asked.append(write)
            planned = self.faults.get(write.customer_id)
            yield write, self._result(write, planned.pop(0) if planned else None, as_of)

    def _result(
        self, write: Write, fault: AnyFault | None, as_of: datetime
    ) -> WriteResult | str | ServiceError:
        match fault:
            case Fault.NEVER_ARRIVED:
                return WriteResult.UNKNOWN
            case Fault.LANDED_UNCONFIRMED:
                self._apply(write, as_of)
                return WriteResult.UNKNOWN
            case str() | ServiceError():
                return fault
            case None:
                return self._apply(write, as_of)
            case somebody_else:
                somebody_else(self)
                return self._apply(write, as_of)

    def _apply(self, write: Write, as_of: datetime) -> WriteResult:
        key = (write.campaign_type, write.customer_id)
        current = self.documents.get(key)
        if current is None or write.document is None:
            holds = current is None and write.document is None
        else:
            holds = current.update_time == write.document.update_time
        if not holds:
            return WriteResult.LOST_RACE
        self.effects.append(write)
        if write.is_deletion:
            del self.documents[key]
            return WriteResult.DONE
        if write.target is None:
            assert current is not None
            self.documents[key] = replace(
                current,
                status=Status.FAILED,
                updated_at=write.updated_at(as_of),
                update_time=self._tick(),
            )
            return WriteResult.DONE
        fresh = self._fresh(write.target, as_of)
        if write.action is Action.UPDATE:
            assert current is not None
            fresh = replace(
                fresh,
                updated_at=write.updated_at(as_of),
                status=current.status,
                attempts=current.attempts,
                created_at=current.created_at,
                claimed_until=current.claimed_until,
                next_attempt_at=current.next_attempt_at,
                is_recoverable=current.is_recoverable,
            )
        elif write.action is Action.REQUEUE:
            assert current is not None
            fresh = replace(
                fresh,
                updated_at=write.updated_at(as_of),
                attempts=current.attempts,
                created_at=current.created_at,
            )
        self.documents[key] = fresh
        return WriteResult.DONE

    def _fresh(self, target: Target, as_of: datetime) -> TargetDocument:
        return TargetDocument(
            customer_id=target.customer_id,
            update_time=self._tick(),
            status=Status.PENDING,
            payload=payload_digest(target),
            created_at=as_of,
            updated_at=as_of,
            expires_at=target.expires_at,
        )

    def _tick(self) -> datetime:
        self._ticks += 1
        return AS_OF + self._ticks * MICROSECOND


def _raise_next(errors: Iterator[ServiceError | None]) -> None:
    error = next(errors, None)
    if error is not None:
        raise error
