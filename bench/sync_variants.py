"""One way to write targets to the Firestore emulator, in a process of its own.

``python bench/sync_variants.py VARIANT COUNT`` writes COUNT documents to the Firestore in the
environment variables, and prints its figures as one JSON object. `bench/sync.py` runs it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import google.auth.credentials
from google.cloud import firestore
from google.cloud.firestore_v1._helpers import encode_dict
from google.cloud.firestore_v1.bulk_writer import BulkWriterOptions
from google.cloud.firestore_v1.types import BatchWriteRequest, BatchWriteResponse

from loader.base.cnpj import Cnpj
from loader.base.environment import Environment
from loader.dbt.project import find_project
from loader.firestore.client import connect
from loader.services import Services
from loader.sync.model import Outcome
from loader.sync.run import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AS_OF", "CAMPAIGN", "CNPJ", "CYCLE", "DATA", "DOCUMENT", "Figures"]

CNPJ = Cnpj("11222333000181")
AS_OF = datetime(2026, 11, 23, 13, tzinfo=UTC)
CAMPAIGN = "REACTIVATION"

# The data of a row; each @ becomes the customer's number in eight digits.
DOCUMENT = {"id": "cliente-@", "name": "Cliente Exemplo @", "phone": "+55119@"}
DATA = json.dumps(
    {
        "message": "Oi, Cliente, sentimos sua falta! Já faz 42 dias desde a sua última lavagem. "
        "Que tal passar aqui esta semana? Com o código VOLTA-@ você ganha 20 % de desconto até "
        "23/12/2026. Para não receber mais mensagens, responda SAIR.",
        "template": {
            "name": "vmhub_saudade_1_v1",
            "language": "pt_BR",
            "parameters": [
                {"parameter_name": "first_name", "text": "Cliente"},
                {"parameter_name": "days_inactive", "text": "42"},
                {"parameter_name": "voucher_code", "text": "VOLTA-@"},
                {"parameter_name": "voucher_valid_until", "text": "23/12/2026"},
            ],
        },
        "voucher_code": "VOLTA-@",
        "voucher_valid_until": "2026-12-23",
        "stage": 1,
        "days_inactive": 42,
        "last_purchase_on": "2026-10-12",
        "total_spent": 118.5,
    },
    ensure_ascii=False,
)
CYCLE = {
    "cycle_key": "2026-11",
    "cycle_start": datetime(2026, 11, 1, 3, tzinfo=UTC),
    "expires_at": datetime(2026, 11, 23, 23, tzinfo=UTC),
}

_BATCH = 500
_REQUESTS_UNDER_WAY = 4
_TEMPLATE_NUMBER = 98_765_432


@dataclass(frozen=True)
class Figures:
    """What writing took in this process, from after its start to its last answer."""

    documents: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    """Peak memory of the whole process, with the client library."""
    outcomes: dict[str, int]


def main(variant: str, count: int) -> None:
    """Run one variant and print its figures."""
    work = _VARIANTS[variant](count)
    began, cpu_began = time.perf_counter(), time.process_time()
    outcomes = work()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = Figures(count, seconds, cpu_seconds, peak_mib, outcomes)
    sys.stdout.write(json.dumps(asdict(figures)) + "\n")


def _fields(number: int) -> dict[str, Any]:
    """Return the document that sync creates for the row with this number."""
    digits = f"{number:08}"
    told = {name: text.replace("@", digits) for name, text in DOCUMENT.items()}
    return {
        "cnpj": CNPJ,
        "campaignType": CAMPAIGN,
        "customerId": told["id"],
        "name": told["name"],
        "phone": told["phone"],
        "data": json.loads(DATA.replace("@", digits)),
        "status": "PENDING",
        "attempts": 0,
        "cycleKey": CYCLE["cycle_key"],
        "cycleStart": CYCLE["cycle_start"],
        "expiresAt": CYCLE["expires_at"],
        "createdAt": AS_OF,
        "updatedAt": AS_OF,
    }


def _client() -> tuple[firestore.Client, firestore.CollectionReference]:
    client = firestore.Client(
        project=Environment.from_variables().project,
        credentials=google.auth.credentials.AnonymousCredentials(),  # type: ignore[no-untyped-call]
    )
    return client, client.collection("users", CNPJ, "campaigns", CAMPAIGN, "targets")


def _set(count: int) -> Callable[[], dict[str, int]]:
    _, targets = _client()

    def work() -> dict[str, int]:
        for number in range(1, count + 1):
            fields = _fields(number)
            targets.document(fields["customerId"]).set(fields)
        return {"created": count}

    return work


def _write_batch(count: int) -> Callable[[], dict[str, int]]:
    client, targets = _client()

    def work() -> dict[str, int]:
        for start in range(1, count + 1, _BATCH):
            batch = client.batch()
            for number in range(start, min(start + _BATCH, count + 1)):
                fields = _fields(number)
                batch.set(targets.document(fields["customerId"]), fields)
            batch.commit()
        return {"created": count}

    return work


def _bulk_writer(options: BulkWriterOptions | None, count: int) -> Callable[[], dict[str, int]]:
    client, targets = _client()

    def work() -> dict[str, int]:
        created = 0

        def count_one(*_: Any) -> None:
            nonlocal created
            created += 1

        writer = client.bulk_writer(options=options)
        writer.on_write_result(count_one)
        for number in range(1, count + 1):
            fields = _fields(number)
            writer.create(targets.document(fields["customerId"]), fields)
        writer.close()  # type: ignore[no-untyped-call]
        return {"created": created}

    return work


def _ceiling(count: int) -> Callable[[], dict[str, int]]:
    """Return a function that sends requests built beforehand: no client can be faster."""
    database = connect(Environment.from_variables())
    requests = deque(
        _request(database, range(start, min(start + _BATCH, count + 1)))
        for start in range(1, count + 1, _BATCH)
    )
    call = database.channel.unary_unary(
        "/google.firestore.v1.Firestore/BatchWrite",
        response_deserializer=BatchWriteResponse.pb().FromString,
    )

    def work() -> dict[str, int]:
        under_way: deque[Any] = deque()
        created = 0
        while requests or under_way:
            while requests and len(under_way) < _REQUESTS_UNDER_WAY:
                request = requests.popleft()
                under_way.append(call.future(request, metadata=database.metadata))
            statuses = under_way.popleft().result().status
            created += sum(status.code == 0 for status in statuses)
        return {"created": created}

    return work


def _request(database: Any, numbers: range) -> bytes:
    """Return a serialized request; its writes differ only in the customers' numbers."""
    fields = _fields(_TEMPLATE_NUMBER)
    request = BatchWriteRequest.pb()(database=database.name)
    write = request.writes.add()
    write.current_document.exists = False
    write.update.name = database.path(
        "users", CNPJ, "campaigns", CAMPAIGN, "targets", fields["customerId"]
    )
    for name, value in encode_dict(fields).items():
        write.update.fields[name].CopyFrom(type(value).pb(value))
    head = BatchWriteRequest.pb()(database=database.name).SerializeToString()
    template = request.SerializeToString().removeprefix(head)
    # Texts of equal length, so that the lengths inside the message stay right.
    digits = f"{_TEMPLATE_NUMBER:08}".encode()
    return bytes(head + b"".join(template.replace(digits, b"%08d" % number) for number in numbers))


def _sync(_count: int) -> Callable[[], dict[str, int]]:
    """Return a function that does the same as `vmhub sync`, from the first row to the record."""
    project = find_project()
    services = Services(project, Environment.from_variables(), project.state_dir)

    def work() -> dict[str, int]:
        report = services.sync(services.laundromat(CNPJ), as_of=AS_OF, options=SyncOptions())
        outcomes = {outcome.value: report.total(outcome) for outcome in Outcome}
        return {outcome: count for outcome, count in outcomes.items() if count}

    return work


_UNTHROTTLED = BulkWriterOptions(initial_ops_per_second=1_000_000, max_ops_per_second=1_000_000)
_VARIANTS: dict[str, Callable[[int], Callable[[], dict[str, int]]]] = {
    "set": _set,
    "WriteBatch": _write_batch,
    "BulkWriter": lambda count: _bulk_writer(None, count),
    "BulkWriter, unthrottled": lambda count: _bulk_writer(_UNTHROTTLED, count),
    "ceiling": _ceiling,
    "sync": _sync,
}

if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
