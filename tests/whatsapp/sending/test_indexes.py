"""Every query of the project has its index: the emulator answers without any, the service does not.

Within one collection the service indexes each field by itself; over all collections of a name, and
for more than one field, only what firestore.indexes.json declares.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.types import RunQueryRequest

from loader.base.retry import Retry
from loader.dbt.project import find_project
from loader.firestore.changes import ChangeReader
from loader.firestore.client import Database
from loader.firestore.people import PeopleStore
from loader.firestore.registry import Registry
from loader.firestore.targets import TargetStore
from tests.faults.memory import MemoryBackend
from tests.faults.steps import SteppedChannel
from tests.support import NUMERIC_CNPJ
from tests.whatsapp.sending.connections import MemoryChannel
from tests.whatsapp.sending.world import ROOT
from whatsapp.store import Store
from whatsapp.targets import read_target
from whatsapp.webhook.store import WebhookStore

if TYPE_CHECKING:
    from tests.faults.backends import Call

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ROOT_FOLDER = find_project().root
EQUAL, CONTAINS_ANY = 5, 9

# The modules that ask queries; each is asked all of them below.
ASKING = {
    "loader/firestore/changes.py",
    "loader/firestore/firestore_probe.py",
    "loader/firestore/people.py",
    "loader/firestore/registry.py",
    "loader/firestore/targets.py",
    "whatsapp/queries.py",
}


class Recorder(MemoryBackend):
    """Writes queries down."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[Any] = []

    def answer(self, call: Call) -> Any:
        if call.method == "RunQuery":
            self.queries.append(RunQueryRequest.pb().FromString(call.request))
        return super().answer(call)


def asked() -> list[Any]:
    """Return every query that the readers of the project ask."""
    recorder = Recorder()
    channel: Any = SteppedChannel(recorder, lambda _what, _moment: None)
    database = Database(None, ROOT, channel, (), "Firestore")  # type: ignore[arg-type]
    targets = TargetStore(database, NUMERIC_CNPJ)
    list(targets.pending("BIRTHDAY"))
    list(targets.pending("BIRTHDAY", after="c1"))
    targets.has_pending("BIRTHDAY")
    changes = ChangeReader(database, Retry(patience_seconds=0))
    list(changes.changed(NOW))
    for since in (NOW, None):
        list(changes.changed_of(NUMERIC_CNPJ, "BIRTHDAY", since))
        changes.has_changed(NUMERIC_CNPJ, "BIRTHDAY", since)
        for cnpj in (NUMERIC_CNPJ, None):
            list(changes.sends(since, cnpj))
            list(changes.suppressions(since, cnpj))
        changes.has_receipts(NUMERIC_CNPJ, since)
    people = PeopleStore(database, NUMERIC_CNPJ, Retry(patience_seconds=0))
    people.sends(["c1"])
    people.confirmations(["e1"])
    people.unmatched(["m1"])
    for collection in ("suppressions", "resumptions"):
        people.wishes(collection, keys=["k"], phones=["+5511990000001"], customer_ids=["c1"])
    for collection, field in (("sends", "updatedAt"), ("confirmations", "at")):
        list(people.older(collection, field, NOW))
    list(people.older("targets", "updatedAt", NOW, below=("campaigns", "BIRTHDAY")))
    Registry(database).fleet()
    asyncio.run(_ask_as_sender(recorder))
    asyncio.run(_ask_as_webhook(recorder))
    return recorder.queries


async def _ask_as_sender(recorder: Recorder) -> None:
    from loader.firestore.aio import AsyncDatabase  # noqa: PLC0415

    store = Store(AsyncDatabase(ROOT, MemoryChannel(recorder), (), "Firestore"))
    target = read_target(f"{ROOT}/users/u/campaigns/c/targets/t", NOW, {"phone": "+5511990000001"})
    for cnpj in (None, str(NUMERIC_CNPJ)):
        await store.accounts(cnpj)
        await store.waiting(cnpj)
        await store.failed_or_open(cnpj)
    await store.is_suppressed(target)
    await store.sent_people("p", NOW)
    await store.billed_sends("u", NOW)
    await store.news("p", NOW)


async def _ask_as_webhook(recorder: Recorder) -> None:
    from loader.firestore.aio import AsyncDatabase  # noqa: PLC0415

    store = WebhookStore(AsyncDatabase(ROOT, MemoryChannel(recorder), (), "Firestore"))
    await store.registry()
    for field in ("messageId", "phoneKey", "userId"):
        await store.sends(field, ["x"])
    for collection in ("suppressions", "resumptions"):
        await store.about("u", collection, ["x"])
    await store.first("unmatched", "nextTryAt", 1)


def needed(request: Any) -> tuple[str, str, tuple[tuple[str, str], ...]] | None:
    """Return scope, collection and fields of the index a query needs; None: an automatic one."""
    query = request.structured_query
    (selector,) = query.from_
    scope = "COLLECTION_GROUP" if selector.all_descendants else "COLLECTION"
    where = query.where
    filters = list(where.composite_filter.filters) or ([where] if query.HasField("where") else [])
    conditions = [(item.field_filter.field.field_path, item.field_filter.op) for item in filters]
    fields: dict[str, str] = {}
    for path, op in sorted(conditions, key=lambda item: item[1] != EQUAL):
        fields[path] = "CONTAINS" if op == CONTAINS_ANY else "ASCENDING"
    for order in query.order_by:
        if order.field.field_path != "__name__":
            fields.setdefault(order.field.field_path, "ASCENDING")
    if not fields or (len(fields) == 1 and scope == "COLLECTION"):
        return None
    return scope, selector.collection_id, tuple(fields.items())


def declared() -> set[tuple[str, str, tuple[tuple[str, str], ...]]]:
    file = json.loads((ROOT_FOLDER / "firestore.indexes.json").read_text(encoding="utf-8"))
    found = {
        (
            index["queryScope"],
            index["collectionGroup"],
            tuple((field["fieldPath"], field["order"]) for field in index["fields"]),
        )
        for index in file["indexes"]
    }
    for override in file["fieldOverrides"]:
        for index in override["indexes"]:
            field = (override["fieldPath"], index["order"])
            found.add((index["queryScope"], override["collectionGroup"], (field,)))
    return found


def test_every_query_has_its_index_and_every_index_its_query() -> None:
    wanted = {index for query in asked() if (index := needed(query)) is not None}
    assert wanted <= declared()
    groups = {index for index in declared() if index[0] == "COLLECTION_GROUP"}
    assert groups <= wanted


def test_an_override_takes_away_no_index_that_one_collection_needs() -> None:
    overridden = {(name, field[0]) for _, name, (field, *_) in declared()}
    for request in asked():
        query = request.structured_query
        name, path = query.from_[0].collection_id, query.where.field_filter.field.field_path
        if (name, path) in overridden and not query.from_[0].all_descendants:
            assert ("COLLECTION", name, ((path, "ASCENDING"),)) in declared()


def test_no_module_asks_a_query_that_is_not_looked_at_here() -> None:
    asking = {
        str(path.relative_to(ROOT_FOLDER))
        for folder in ("loader", "whatsapp", "console")
        for path in (ROOT_FOLDER / folder).rglob("*.py")
        if re.search(r"RunQueryRequest\(|RunAggregationQueryRequest\(", path.read_text("utf-8"))
    }
    assert asking <= ASKING
