"""Target documents in Google's emulator: preconditions, the fields that writes keep, sizes."""

from __future__ import annotations

import json
import math
import re
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.cloud import firestore

from loader.base.environment import Environment
from loader.base.errors import ServiceError
from loader.firestore.client import connect
from loader.firestore.targets import MAX_DOCUMENT_BYTES, TargetStore
from loader.sync.decide import Action
from loader.sync.model import Outcome, Target, TargetDocument
from loader.sync.ports import UnfitValueError, Write, WriteResult
from loader.sync.run import SyncReport, sync
from tests.loader.fakes import CYCLE_START, EXPIRES_AT, FakeSource, make_target
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, NUMERIC_CNPJ, documents, official_client

if TYPE_CHECKING:
    from google.cloud.firestore_v1.document import DocumentReference

    from loader.base.cnpj import Cnpj

BEFORE = AS_OF - timedelta(hours=1)
LAST_YEAR = datetime(2025, 11, 23, 13, tzinfo=UTC)

# Fields that the WhatsApp integration may have set in a document.
SENDERS_FIELDS: dict[str, Any] = {
    "claimedUntil": BEFORE,
    "nextAttemptAt": BEFORE,
    "messageId": "wamid.test.1",
    "lastError": {"code": "131016", "message": "Service unavailable", "recoverable": True},
    "attemptLog": [{"attempt": 1, "at": BEFORE, "status": "FAILED", "messageId": None}],
    "deliveredAt": BEFORE,
    "readAt": BEFORE,
    "repliedAt": BEFORE,
}
WRITE_ACTIONS = [Action.REPLACE, Action.UPDATE, Action.REQUEUE, Action.WITHDRAW]


@pytest.fixture
def store(environment: Environment) -> TargetStore:
    return TargetStore(connect(environment), NUMERIC_CNPJ)


@pytest.fixture
def client(environment: Environment) -> firestore.Client:
    return official_client(environment)


def _reference(
    client: firestore.Client,
    customer_id: str = "c1",
    *,
    cnpj: Cnpj = NUMERIC_CNPJ,
    campaign_type: str = "BIRTHDAY",
) -> DocumentReference:
    return client.document("users", cnpj, "campaigns", campaign_type, "targets", customer_id)


def _fields(client: firestore.Client, customer_id: str = "c1") -> dict[str, Any] | None:
    fields: dict[str, Any] | None = _reference(client, customer_id).get().to_dict()
    return fields


def _payload(target: Target, **changes: Any) -> dict[str, Any]:
    """Return the fields of a document that was written for a row an hour ago."""
    return {
        "cnpj": target.cnpj,
        "campaignType": target.campaign_type,
        "customerId": target.customer_id,
        "name": target.name,
        "phone": target.phone,
        "data": json.loads(target.data),
        "status": "PENDING",
        "attempts": 0,
        "cycleKey": target.cycle_key,
        "cycleStart": target.cycle_start,
        "expiresAt": target.expires_at,
        "createdAt": BEFORE,
        "updatedAt": BEFORE,
        **changes,
    }


def _write(
    store: TargetStore, action: Action, target: Target, document: TargetDocument | None
) -> WriteResult | str | ServiceError:
    is_withdrawal = action is Action.WITHDRAW
    write = Write(
        action,
        target.campaign_type,
        target.customer_id,
        None if is_withdrawal else target,
        b"" if is_withdrawal else store.payload(target),
        document,
    )
    ((written, result),) = store.write([write], as_of=AS_OF)
    assert written is write
    return result


def _create_all(store: TargetStore, targets: list[Target]) -> list[Any]:
    writes = [
        Write(
            Action.CREATE,
            target.campaign_type,
            target.customer_id,
            target,
            store.payload(target),
            None,
        )
        for target in targets
    ]
    results = list(store.write(writes, as_of=AS_OF))
    assert [write for write, _ in results] == writes
    return [result for _, result in results]


def _read(store: TargetStore, customer_id: str = "c1") -> TargetDocument:
    document = store.read("BIRTHDAY", [customer_id])[customer_id]
    assert document is not None
    return document


# What each action writes


def test_a_creation_writes_every_field_of_the_contract(
    store: TargetStore, client: firestore.Client
) -> None:
    data = {"message": "Oi! 🎂", "tiers": [1, {"deep": None}], "spent": 12.5, "empty": {}}
    assert _write(store, Action.CREATE, make_target(data=data), None) is WriteResult.DONE
    assert _fields(client) == {
        "cnpj": NUMERIC_CNPJ,
        "campaignType": "BIRTHDAY",
        "customerId": "c1",
        "name": "Ana Exemplo",
        "phone": "+5511900000001",
        "data": data,
        "status": "PENDING",
        "attempts": 0,
        "cycleKey": "2026",
        "cycleStart": CYCLE_START,
        "expiresAt": EXPIRES_AT,
        "createdAt": AS_OF,
        "updatedAt": AS_OF,
    }


def test_a_creation_where_there_is_a_document_loses_and_changes_nothing(
    store: TargetStore, client: firestore.Client
) -> None:
    there = {"status": "SENT", "name": "Somebody Else"}
    _reference(client).set(there)
    assert _write(store, Action.CREATE, make_target(), None) is WriteResult.LOST_RACE
    assert _fields(client) == there


def test_an_update_changes_the_payload_and_keeps_all_else(
    store: TargetStore, client: firestore.Client
) -> None:
    before = _payload(make_target(), attempts=2, **SENDERS_FIELDS)
    _reference(client).set(before)
    changed = make_target(
        name="Ana Maria Exemplo",
        phone="+5511900000002",
        data={"only": "this"},
        expires_at=EXPIRES_AT + timedelta(days=1),
        cycle_key="2027",
        cycle_start=CYCLE_START + timedelta(days=1),
    )
    assert _write(store, Action.UPDATE, changed, _read(store)) is WriteResult.DONE
    assert _fields(client) == {
        **before,
        "name": "Ana Maria Exemplo",
        "phone": "+5511900000002",
        "data": {"only": "this"},
        "expiresAt": EXPIRES_AT + timedelta(days=1),
        "cycleKey": "2027",
        "cycleStart": CYCLE_START + timedelta(days=1),
        "updatedAt": AS_OF,
    }


def test_a_replacement_begins_anew_and_keeps_nothing_of_the_last_cycle(
    store: TargetStore, client: firestore.Client
) -> None:
    old = _payload(
        make_target(), status="DELIVERED", attempts=3, createdAt=LAST_YEAR, **SENDERS_FIELDS
    )
    _reference(client).set({**old, "note": "by hand"})
    assert _write(store, Action.REPLACE, make_target(), _read(store)) is WriteResult.DONE
    assert _fields(client) == _payload(make_target(), createdAt=AS_OF, updatedAt=AS_OF)


def test_a_requeue_keeps_the_attempts_and_their_log_and_clears_what_holds_it_back(
    store: TargetStore, client: firestore.Client
) -> None:
    failed = _payload(make_target(), status="FAILED", attempts=2, **SENDERS_FIELDS)
    _reference(client).set(failed)
    renewed = make_target(expires_at=EXPIRES_AT + timedelta(days=1))
    assert _write(store, Action.REQUEUE, renewed, _read(store)) is WriteResult.DONE
    kept = {
        name: value
        for name, value in failed.items()
        if name not in ("claimedUntil", "nextAttemptAt")
    }
    assert _fields(client) == {
        **kept,
        "status": "PENDING",
        "expiresAt": EXPIRES_AT + timedelta(days=1),
        "updatedAt": AS_OF,
    }
    assert kept["attempts"] == 2
    assert {"attemptLog", "lastError", "createdAt"} < set(kept)


def test_a_withdrawal_deletes_the_document(store: TargetStore, client: firestore.Client) -> None:
    _reference(client).set(_payload(make_target()))
    assert _write(store, Action.WITHDRAW, make_target(), _read(store)) is WriteResult.DONE
    assert _fields(client) is None


@pytest.mark.parametrize("told", [{"attempts": 1}, {"attemptLog": [{"status": "FAILED"}]}])
def test_a_withdrawal_of_what_was_attempted_keeps_all_that_is_told_of_it(
    told: dict[str, Any], store: TargetStore, client: firestore.Client
) -> None:
    queued_again = _payload(make_target(), **told)
    _reference(client).set(queued_again)
    assert _write(store, Action.WITHDRAW, make_target(), _read(store)) is WriteResult.DONE
    assert _fields(client) == {**queued_again, "status": "FAILED", "updatedAt": AS_OF}


@pytest.mark.parametrize("action", [Action.UPDATE, Action.REQUEUE, Action.WITHDRAW])
def test_a_run_that_was_frozen_does_not_move_updated_at_back(
    action: Action, store: TargetStore, client: firestore.Client
) -> None:
    later = AS_OF + timedelta(hours=8)
    _reference(client).set(_payload(make_target(), attempts=1, updatedAt=later))
    assert _write(store, action, make_target(), _read(store)) is WriteResult.DONE
    fields = _fields(client)
    assert fields is not None
    assert fields["updatedAt"] == later + timedelta(microseconds=1)


# Preconditions


@pytest.mark.parametrize("action", WRITE_ACTIONS, ids=lambda action: action.name)
def test_a_write_loses_to_whoever_changed_the_document_since_it_was_read(
    action: Action, store: TargetStore, client: firestore.Client
) -> None:
    _reference(client).set(_payload(make_target()))
    stale = _read(store)
    _reference(client).update({"status": "SENT", "messageId": "wamid.test.2"})
    sent = _fields(client)
    changed = make_target(name="Ana Maria Exemplo")
    assert _write(store, action, changed, stale) is WriteResult.LOST_RACE
    assert _fields(client) == sent


@pytest.mark.parametrize("action", WRITE_ACTIONS, ids=lambda action: action.name)
def test_a_write_does_not_bring_back_a_document_that_was_deleted_since_it_was_read(
    action: Action, store: TargetStore, client: firestore.Client
) -> None:
    _reference(client).set(_payload(make_target()))
    stale = _read(store)
    _reference(client).delete()
    assert _write(store, action, make_target(), stale) is WriteResult.LOST_RACE
    assert _fields(client) is None


def test_a_lost_race_takes_nothing_else_of_its_batch_along(
    store: TargetStore, client: firestore.Client
) -> None:
    _reference(client, "b").set({"status": "SENT"})
    results = _create_all(store, [make_target(id_) for id_ in "abc"])
    assert results == [WriteResult.DONE, WriteResult.LOST_RACE, WriteResult.DONE]
    assert _fields(client, "b") == {"status": "SENT"}
    assert _fields(client, "c") is not None


# One laundromat, one campaign


def test_only_pending_documents_of_the_campaign_and_cnpj_are_found(
    store: TargetStore, client: firestore.Client
) -> None:
    for status in ("SENT", "DELIVERED", "FAILED", "pending", None):
        _reference(client, f"not {status}").set({"status": status})
    _reference(client, "no status").set({"name": "Ana Exemplo"})
    _reference(client, "b").set(_payload(make_target("b"), claimedUntil=AS_OF))
    _reference(client, "a").set(_payload(make_target("a")))
    _reference(client, "other campaign", campaign_type="LOYALTY").set({"status": "PENDING"})
    _reference(client, "other cnpj", cnpj=ALPHANUMERIC_CNPJ).set({"status": "PENDING"})
    assert [document.customer_id for document in store.pending("BIRTHDAY")] == ["a", "b"]
    assert list(store.pending("WELCOME")) == []


def test_another_laundromats_documents_of_the_same_id_stay_as_they_are(
    store: TargetStore, client: firestore.Client, environment: Environment
) -> None:
    others = _payload(make_target(cnpj=ALPHANUMERIC_CNPJ), name="Bia Exemplo")
    _reference(client, cnpj=ALPHANUMERIC_CNPJ).set(others)
    assert store.read("BIRTHDAY", ["c1"]) == {"c1": None}
    assert _write(store, Action.CREATE, make_target(), None) is WriteResult.DONE
    assert _write(store, Action.WITHDRAW, make_target(), _read(store)) is WriteResult.DONE
    assert documents(environment, ALPHANUMERIC_CNPJ) == {("BIRTHDAY", "c1"): others}
    assert documents(environment, NUMERIC_CNPJ) == {}


# Many, large and oddly named documents


def test_more_documents_than_a_request_takes_are_all_written_and_read_back(
    store: TargetStore,
) -> None:
    ids = [f"c{number:04}" for number in range(1200)]
    results = _create_all(store, [make_target(id_) for id_ in ids])
    assert results == [WriteResult.DONE] * 1200
    assert [document.customer_id for document in store.pending("BIRTHDAY")] == ids
    found = store.read("BIRTHDAY", [*ids, "nobody"])
    assert list(found) == [*ids, "nobody"]
    assert [id_ for id_, document in found.items() if document is None] == ["nobody"]


@pytest.mark.parametrize("length", [300_000, MAX_DOCUMENT_BYTES - 1_000])
def test_large_documents_are_split_over_requests_that_the_service_takes(
    length: int, store: TargetStore
) -> None:
    data = {"message": "x" * length}
    targets = [make_target(f"c{number:02}", data=data) for number in range(14)]
    assert _create_all(store, targets) == [WriteResult.DONE] * 14
    assert [document.payload for document in store.pending("BIRTHDAY")] == [
        store.digest(store.payload(target)) for target in targets
    ]


def test_a_document_of_the_largest_size_that_sync_takes_is_taken_by_firestore(
    store: TargetStore,
) -> None:
    def filled(length: int) -> Target:
        return make_target(data={"message": "x" * length})

    with pytest.raises(UnfitValueError, match=f"more than {MAX_DOCUMENT_BYTES}") as refused:
        store.payload(filled(MAX_DOCUMENT_BYTES))
    frame = int(re.findall(r"\d+", str(refused.value))[0]) - MAX_DOCUMENT_BYTES
    assert frame < 2000
    with pytest.raises(UnfitValueError):
        store.payload(filled(MAX_DOCUMENT_BYTES - frame + 1))
    largest = filled(MAX_DOCUMENT_BYTES - frame)
    assert _write(store, Action.CREATE, largest, None) is WriteResult.DONE


@pytest.mark.parametrize(
    "customer_id",
    ["a customer", "😀🎂", "ção", "a" * 1500, "é" * 750, " ", "a.b`c", "%2F", "#?&", "*", "___"],
    ids=lambda id_: f"{id_[:10]} ({len(id_.encode())} bytes)",
)
def test_any_legal_customer_id_names_its_document(
    customer_id: str, store: TargetStore, client: firestore.Client
) -> None:
    assert _create_all(store, [make_target(customer_id)]) == [WriteResult.DONE]
    fields = _fields(client, customer_id)
    assert fields is not None
    assert fields["customerId"] == customer_id
    (document,) = store.pending("BIRTHDAY")
    assert document.customer_id == customer_id
    target = make_target(customer_id)
    assert _write(store, Action.WITHDRAW, target, document) is WriteResult.DONE
    assert _fields(client, customer_id) is None


def _nested(depth: int) -> dict[str, Any]:
    return {"deeper": _nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    "data",
    [
        {"list": [["in a list"]]},
        {"": "no name"},
        {"__name__": "reserved"},
        _nested(30),
        {"n": 2**63},
    ],
    ids=["list in a list", "empty name", "reserved name", "too deep", "beyond 64 bits"],
)
def test_a_payload_that_firestore_cannot_hold_fails_its_own_row_only(
    data: dict[str, Any], store: TargetStore, client: firestore.Client
) -> None:
    rows = [make_target("a"), make_target("bad", data=data), make_target("c")]
    report = sync(
        FakeSource(rows),
        store,
        cnpj=NUMERIC_CNPJ,
        as_of=AS_OF,
        campaign_types=["BIRTHDAY"],
        max_attempts=3,
    )
    assert report.total(Outcome.CREATED) == 2
    assert report.total(Outcome.REJECTED) == 1
    assert [problem.customer_id for problem in report.problems] == ["bad"]
    assert _fields(client, "a") is not None
    assert _fields(client, "c") is not None


# Reading what others wrote


def test_a_document_is_read_with_all_that_decides_about_it(
    store: TargetStore, client: firestore.Client
) -> None:
    target = make_target()
    written = _reference(client).set(
        _payload(target, status="FAILED", attempts=2, **SENDERS_FIELDS)
    )
    assert _read(store) == TargetDocument(
        customer_id="c1",
        update_time=written.update_time,
        status="FAILED",
        attempts=2,
        payload=store.digest(store.payload(target)),
        created_at=BEFORE,
        updated_at=BEFORE,
        expires_at=target.expires_at,
        claimed_until=BEFORE,
        next_attempt_at=BEFORE,
        is_recoverable=True,
        # It is not tracked.
        is_recorded=False,
        was_attempted=True,
        phone=target.phone,
    )
    assert store.fields("BIRTHDAY", "c1") == _fields(client)
    assert store.fields("BIRTHDAY", "nobody") == {}


@pytest.mark.parametrize(
    ("error", "is_recoverable"),
    [
        ({"recoverable": False}, False),
        ({"recoverable": True}, True),
        ({"recoverable": None}, True),
        ({}, True),
        (None, True),
        ("a text", True),
    ],
)
def test_only_an_error_that_says_so_is_final(
    error: Any, *, is_recoverable: bool, store: TargetStore, client: firestore.Client
) -> None:
    _reference(client).set({"status": "FAILED", "lastError": error})
    assert _read(store).is_recoverable is is_recoverable


@pytest.mark.parametrize(
    ("attempts", "log", "has_open_attempt"),
    [
        (0, [], False),
        (0, [{"attempt": 1, "status": "SENDING"}], True),
        (0, [{"attempt": 1}], True),
        (0, [{"attempt": 1, "status": "FAILED"}], False),
        (1, [{"attempt": 1, "status": "SENDING"}], False),
        (1, [{"attempt": 1, "status": "FAILED"}, {"attempt": 2, "status": "SENDING"}], True),
    ],
)
def test_an_attempt_that_is_neither_counted_nor_failed_is_open(
    attempts: int, log: Any, *, has_open_attempt: bool, store: TargetStore, client: firestore.Client
) -> None:
    _reference(client).set({"status": "PENDING", "attempts": attempts, "attemptLog": log})
    assert _read(store).has_open_attempt is has_open_attempt


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"claimedUntil": "2026-11-23T23:20:00.000Z"}, {"claimed_until": "2026-11-23T23:20Z"}),
        ({"claimedUntil": 1795476000}, {"claimed_until": "2026-11-23T23:20Z"}),
        ({"claimedUntil": 1795476000000}, {"claimed_until": "2026-11-23T23:20Z"}),
        ({"nextAttemptAt": {"_seconds": 1795476000}}, {"next_attempt_at": "2026-11-23T23:20Z"}),
        ({"claimedUntil": "soon"}, {"doubt": "claimedUntil is a text that is not an instant"}),
        ({"attempts": "3"}, {"attempts": 3}),
        ({"attempts": 2.0}, {"attempts": 2}),
        ({"attempts": 1e300}, {"doubt": "attempts is a number that is not from 0 to 1000"}),
        ({"attempts": -1}, {"doubt": "attempts is a number that is not from 0 to 1000"}),
        ({"lastError": {"recoverable": "false"}}, {"is_recoverable": False}),
        ({"lastError": {"recoverable": 0}}, {"doubt": "lastError.recoverable is a number"}),
        ({"attemptLog": "text"}, {"doubt": "attemptLog is a text"}),
    ],
    ids=repr,
)
def test_what_other_senders_write_is_read_or_a_doubt(
    fields: dict[str, Any], expected: dict[str, Any], store: TargetStore, client: firestore.Client
) -> None:
    _reference(client).set({"status": "FAILED", **fields})
    document = _read(store)
    for name, value in expected.items():
        found = getattr(document, name)
        if name.endswith(("_at", "_until")):
            assert found == datetime.fromisoformat(value)
        elif name == "doubt":
            assert found.startswith(value)
        else:
            assert found == value
    assert bool(document.doubt) == ("doubt" in expected)


def test_a_document_with_a_status_and_nothing_else_is_read(
    store: TargetStore, client: firestore.Client
) -> None:
    _reference(client).set({"status": "PENDING"})
    (document,) = store.pending("BIRTHDAY")
    assert document.attempts == 0
    assert document.is_recoverable
    assert {document.expires_at, document.created_at, document.claimed_until} == {None}


@pytest.mark.parametrize(
    "value",
    [
        7,
        1.5,
        math.nan,
        math.inf,
        True,
        "text",
        b"bytes",
        [1],
        {"a": 1},
        BEFORE,
        firestore.GeoPoint(1, 2),
    ],
    ids=repr,
)
def test_fields_of_another_type_than_agreed_are_read_without_an_error(
    value: Any, store: TargetStore, client: firestore.Client
) -> None:
    names = [*_payload(make_target()), *SENDERS_FIELDS]
    _reference(client).set({**dict.fromkeys(names, value), "status": "PENDING"})
    (document,) = store.pending("BIRTHDAY")
    assert document.customer_id == "c1"
    if isinstance(value, datetime):
        assert document.claimed_until == value
    else:
        assert document.claimed_until is None
        assert "claimedUntil is " in document.doubt
    # Whatever the document contained, a row corrects it.
    assert _write(store, Action.UPDATE, make_target(), document) is WriteResult.DONE
    fields = _fields(client)
    assert fields is not None
    assert fields["name"] == "Ana Exemplo"


def test_the_reading_of_pending_documents_can_go_on_behind_any_id(
    store: TargetStore, client: firestore.Client
) -> None:
    ids = sorted(["a", "a b", "b", "ção", "😀", "c/d".replace("/", "%2F")], key=str.encode)
    for customer_id in ids:
        _reference(client, customer_id).set({"status": "PENDING"})
    for number, customer_id in enumerate(ids):
        found = [document.customer_id for document in store.pending("BIRTHDAY", after=customer_id)]
        assert found == ids[number + 1 :]


# What a run reads and writes


def _run(store: TargetStore, rows: list[Target]) -> SyncReport:
    return sync(
        FakeSource(rows),
        store,
        cnpj=NUMERIC_CNPJ,
        as_of=AS_OF,
        campaign_types=["BIRTHDAY", "LOYALTY"],
        max_attempts=3,
    )


def test_whatever_a_payload_holds_a_second_run_finds_it_unchanged_without_another_read(
    environment: Environment,
) -> None:
    payloads: list[dict[str, Any]] = [
        {"spent": 12.5, "whole": 1.0, "zero": -0.0, "large": 2**63 - 1, "tiny": 5e-324},
        {"z": 1, "a": {"z": [{"b": None, "a": True}, [], "ção 🎂"][::2], "empty": {}}},
        {f"name {number}": number for number in range(50)},
        {},
    ]
    rows = [make_target(f"c{number}", data=data) for number, data in enumerate(payloads)]
    _run(TargetStore(connect(environment), NUMERIC_CNPJ), rows)
    report = _run(TargetStore(connect(environment), NUMERIC_CNPJ), rows)
    assert report.total(Outcome.UNCHANGED) == len(rows)
    assert (report.documents_read, report.writes_sent) == (len(rows), 0)


def test_a_changed_row_is_written_without_reading_its_document_again(
    environment: Environment,
) -> None:
    rows = [make_target(f"c{number}") for number in range(5)]
    _run(TargetStore(connect(environment), NUMERIC_CNPJ), rows)
    rows[2] = make_target("c2", name="Ana Maria Exemplo")
    report = _run(TargetStore(connect(environment), NUMERIC_CNPJ), rows[:4])
    assert report.campaigns[0].outcomes == {
        Outcome.UPDATED: 1,
        Outcome.UNCHANGED: 3,
        Outcome.WITHDRAWN: 1,
    }
    assert (report.documents_read, report.writes_sent) == (5, 2)


# A service that does not answer


def _unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_writes_without_an_answer_are_unknown_rather_than_failed() -> None:
    environment = Environment(
        project="test-nobody",
        firestore_host=f"127.0.0.1:{_unused_port()}",
        bigquery_url="http://127.0.0.1:1",
        bigquery_storage_host="127.0.0.1:1",
    )
    unreachable = TargetStore(connect(environment), NUMERIC_CNPJ)
    results = _create_all(unreachable, [make_target("a"), make_target("b")])
    assert results == [WriteResult.UNKNOWN] * 2


def test_an_error_of_the_service_names_what_was_done_and_no_content(store: TargetStore) -> None:
    with pytest.raises(ServiceError, match="reading BIRTHDAY targets") as failed:
        store.read("BIRTHDAY", ["a/b Ana Exemplo"])
    assert "INVALID_ARGUMENT" in failed.value.message
    assert "Ana" not in str(failed.value)
    assert not failed.value.is_transient
