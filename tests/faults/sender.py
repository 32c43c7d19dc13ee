"""A simulated WhatsApp integration that does one small step at a time, at any time.

It follows the duties of docs/integration.md: claim first, check, log the attempt, post, record.
Each of its writes has the update time that it read as precondition, as in production.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1._helpers import encode_dict
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    BatchWriteRequest,
    BatchWriteResponse,
    RunQueryRequest,
    RunQueryResponse,
    Value,
)

from loader.firestore.values import decode_fields
from tests.faults.backends import Call

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Mapping

    from tests.faults.backends import Backend

__all__ = ["Documents", "Found", "Post", "Sender", "fill_fields"]

_OWNER = (("authorization", "Bearer owner"),)
_DELETE = object()


@dataclass(frozen=True)
class Found:
    """A document as read."""

    name: str
    fields: dict[str, Any]
    update_time: Any

    @property
    def campaign_type(self) -> str:
        return self.name.split("/")[-3]

    @property
    def customer_id(self) -> str:
        return self.name.split("/")[-1]


class Documents:
    """A laundromat's documents, read and written without faults."""

    def __init__(self, backend: Backend, project: str, cnpj: str) -> None:
        self._backend = backend
        self._database = f"projects/{project}/databases/(default)"
        self.root = f"{self._database}/documents/users/{cnpj}/campaigns"

    def all(self, campaign_types: Collection[str]) -> list[Found]:
        """Return all documents of these campaigns, by name."""
        found = []
        for campaign_type in campaign_types:
            request = RunQueryRequest(
                parent=f"{self.root}/{campaign_type}",
                structured_query={"from_": [{"collection_id": "targets"}]},
            )
            for raw in self._answer("RunQuery", request):
                reply = RunQueryResponse.pb().FromString(raw)
                if reply.HasField("document"):
                    found.append(_found(reply.document))
        return found

    def get(self, name: str) -> Found | None:
        request = BatchGetDocumentsRequest(database=self._database, documents=[name])
        (raw,) = self._answer("BatchGetDocuments", request)
        reply = BatchGetDocumentsResponse.pb().FromString(raw)
        return _found(reply.found) if reply.HasField("found") else None

    def update(self, found: Found, fields: Mapping[str, Any]) -> Found | None:
        """Change fields of the document as it was read; None: another write came first."""
        request = BatchWriteRequest(database=self._database)
        write = BatchWriteRequest.pb(request).writes.add()
        write.update.name = found.name
        write.update_mask.field_paths.extend(fields)
        fill_fields(
            write.update.fields,
            {name: value for name, value in fields.items() if value is not _DELETE},
        )
        return self.get(found.name) if self._write(request, found) else None

    def delete(self, found: Found) -> bool:
        """Delete the document as it was read; False: another write came first."""
        request = BatchWriteRequest(database=self._database)
        BatchWriteRequest.pb(request).writes.add().delete = found.name
        return self._write(request, found)

    def put(self, campaign_type: str, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """Write a campaign's documents, by customer id, without preconditions."""
        request = BatchWriteRequest(database=self._database)
        for customer_id, fields in documents.items():
            write = BatchWriteRequest.pb(request).writes.add()
            write.update.name = f"{self.root}/{campaign_type}/targets/{customer_id}"
            fill_fields(write.update.fields, fields)
        assert self._write(request, None)

    def _write(self, request: Any, found: Found | None) -> bool:
        raw = BatchWriteRequest.pb(request)
        if found is not None:
            raw.writes[0].current_document.update_time.CopyFrom(found.update_time)
        (reply,) = self._answer("BatchWrite", request)
        return int(BatchWriteResponse.pb().FromString(reply).status[0].code) == 0

    def _answer(self, method: str, request: Any) -> list[bytes]:
        serialized = type(request).pb(request).SerializeToString()
        return list(self._backend.answer(Call(method, serialized, _OWNER)))


def fill_fields(fields: Any, values: Mapping[str, Any]) -> None:
    """Write values into a raw document's fields, with Google's own encoder."""
    for name, value in encode_dict(values).items():
        fields[name].CopyFrom(Value.pb(value))


def _found(raw: Any) -> Found:
    return Found(raw.name, decode_fields(raw.fields), raw.update_time)


@dataclass(frozen=True)
class Post:
    """A call to WhatsApp."""

    campaign_type: str
    customer_id: str
    cycle_key: str
    at: datetime
    is_accepted: bool


class _Step(Enum):
    CLAIMED = auto()
    LOGGED = auto()
    POSTED = auto()


@dataclass
class _Held:
    """A document that the sender has claimed."""

    found: Found
    step: _Step = _Step.CLAIMED
    post: Post | None = None
    is_recoverable: bool = True


@dataclass
class Sender:
    """Acts on the documents of one laundromat."""

    documents: Documents
    campaign_types: Collection[str]
    now: datetime
    accepting: float
    """The share of posts that WhatsApp accepts; half of the others are recoverable."""
    max_attempts: int
    posts: list[Post] = field(default_factory=list)
    """Every call to WhatsApp, in order."""
    may_be_deleted: Collection[tuple[str, str]] = ()
    """Campaign and customer whose message is already in the history, which will block."""
    trace: list[str] = field(default_factory=list)
    deletions: int = 0
    _held: dict[str, _Held] = field(default_factory=dict)

    def act(self, rng: random.Random) -> None:
        """Do one step, some seconds after the last one."""
        self.now += timedelta(seconds=rng.randint(1, 20))
        if self._held and rng.random() < 0.5:
            self._proceed(self._held[rng.choice(sorted(self._held))], rng)
            return
        found = self.documents.all(self.campaign_types)
        if not found:
            return
        chosen = rng.choice(found)
        status = chosen.fields.get("status")
        if chosen.name in self._held:
            self._proceed(self._held[chosen.name], rng)
        elif status == "PENDING":
            if rng.random() < 0.8:
                self._claim(chosen, rng)
            elif rng.random() < 0.5:
                self._delete(chosen)
            else:
                self._change(chosen, "touches", {"note": str(self.now)})
        elif status == "SENT" and rng.random() < 0.6:
            self._change(chosen, "delivers", {"status": "DELIVERED", "deliveredAt": self.now})
        elif status == "FAILED" and rng.random() < 0.5:
            self._retry(chosen)
        elif (chosen.campaign_type, chosen.customer_id) in self.may_be_deleted:
            self._delete(chosen)

    def finish(self, rng: random.Random) -> None:
        """Finish what is half-done; drop what is only claimed."""
        while self._held:
            held = self._held[min(self._held)]
            if held.step is _Step.CLAIMED:
                self._say("lets its claim lapse", held.found)
                del self._held[held.found.name]
            else:
                self._proceed(held, rng)

    def _claim(self, found: Found, rng: random.Random) -> None:
        until = found.fields.get("claimedUntil")
        if found.fields["expiresAt"] <= self.now or (until is not None and until > self.now):
            return
        minutes = rng.choice((5, 5, 90, 26 * 60))
        claimed = self._change(
            found, "claims", {"claimedUntil": self.now + timedelta(minutes=minutes)}
        )
        if claimed is not None:
            self._held[found.name] = _Held(claimed)

    def _proceed(self, held: _Held, rng: random.Random) -> None:
        found = held.found
        match held.step:
            case _Step.CLAIMED:
                is_due = (
                    found.fields["status"] == "PENDING"
                    and found.fields["expiresAt"] > self.now
                    and found.fields["claimedUntil"] > self.now
                )
                logged = self._log(found) if is_due else None
                if logged is None:
                    del self._held[found.name]
                else:
                    held.found, held.step = logged, _Step.LOGGED
            case _Step.LOGGED:
                held.step, chance = _Step.POSTED, rng.random()
                held.is_recoverable = chance < (1 + self.accepting) / 2
                cycle_key = found.fields["cycleKey"]
                held.post = Post(
                    found.campaign_type,
                    found.customer_id,
                    cycle_key,
                    self.now,
                    chance < self.accepting,
                )
                self.posts.append(held.post)
                self._say(f"posts for {cycle_key}, accepted: {held.post.is_accepted}", found)
            case _Step.POSTED:
                assert held.post is not None
                del self._held[found.name]
                recorded = self._change(found, "records", self._outcome(held, held.post))
                assert recorded is not None, "somebody wrote under a claim"

    def _log(self, found: Found) -> Found | None:
        attempt = {"attempt": found.fields["attempts"] + 1, "at": self.now, "status": "SENDING"}
        log = [*found.fields.get("attemptLog", []), attempt]
        return self._change(found, "logs the attempt", {"attemptLog": log})

    def _outcome(self, held: _Held, post: Post) -> dict[str, Any]:
        fields = {"attempts": held.found.fields["attempts"] + 1, "updatedAt": self.now}
        if post.is_accepted:
            return {**fields, "status": "SENT", "messageId": f"wamid.test.{len(self.posts)}"}
        error = {"code": "131016", "message": "no", "recoverable": held.is_recoverable}
        retry_at = self.now + timedelta(minutes=15)
        return {**fields, "status": "FAILED", "lastError": error, "nextAttemptAt": retry_at}

    def _retry(self, found: Found) -> None:
        """Queue a failed document again, as some integrations do on their own."""
        may_retry = (
            found.fields["lastError"]["recoverable"]
            and found.fields.get("nextAttemptAt", self.now) <= self.now
            and found.fields["attempts"] < self.max_attempts
        )
        if may_retry:
            self._change(found, "queues again", {"status": "PENDING", "nextAttemptAt": _DELETE})

    def _delete(self, found: Found) -> None:
        if self.documents.delete(found):
            self.deletions += 1
            self._say("deletes", found)

    def _change(self, found: Found, doing: str, fields: Mapping[str, Any]) -> Found | None:
        changed = self.documents.update(found, fields)
        self._say(doing if changed else f"{doing}, too late", found)
        return changed

    def _say(self, what: str, found: Found) -> None:
        place = f"{found.campaign_type}/{found.customer_id}"
        self.trace.append(f"    {self.now:%d %H:%M:%S} sender {what}: {place}")
