"""What tracking costs for a fleet: ``make bench-track``.

Half of many laundromats' documents change between two runs; one run brings the changes into every
message_history. It measures the seconds, the documents read per change and the statements per
laundromat, and checks that all rows are there. See docs/benches.md.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import machine, write_json
from google.cloud.firestore_v1._helpers import encode_dict
from google.cloud.firestore_v1.types import BatchWriteRequest, Value
from rich.console import Console
from rich.table import Table

from loader.base.cnpj import with_check_digits
from loader.dbt.project import find_project
from loader.local.stack import FirestoreKind, local_stack
from loader.operations.onboard import onboard
from loader.services import Services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loader.base.cnpj import Cnpj

AS_OF = datetime(2026, 11, 23, 13, tzinfo=UTC)
HOUR = timedelta(hours=1)
CAMPAIGN = "REACTIVATION"


@dataclass(frozen=True)
class Sizes:
    """The number of laundromats, and of documents of all of them that change."""

    laundromats: int
    changes: int


_FULL, _QUICK = Sizes(200, 100_000), Sizes(10, 2_000)


@dataclass(frozen=True)
class Result:
    """One run of tracking."""

    run: str
    changes: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    documents_per_change: float
    statements_per_laundromat: float
    rows: int
    """Rows in all histories together, after the run."""


def _cnpjs(count: int) -> list[Cnpj]:
    return [with_check_digits(f"{11_000_000 + number}0001") for number in range(count)]


def _fields(cnpj: Cnpj, customer_id: str, at: datetime, *, is_sent: bool) -> dict[str, Any]:
    entry = {"attempt": 1, "at": at, "status": "SENT", "messageId": f"wamid.{customer_id}"}
    return {
        "cnpj": cnpj,
        "campaignType": CAMPAIGN,
        "customerId": customer_id,
        "name": "Cliente Exemplo",
        "phone": "+5511900000001",
        "data": {"message": "Oi, Cliente, sentimos sua falta!", "template_variant": "STAGE_1"},
        "cycleKey": "2026-11",
        "createdAt": AS_OF - 24 * HOUR,
        "updatedAt": at,
        "status": "SENT" if is_sent else "PENDING",
        "attempts": int(is_sent),
        **({"attemptLog": [entry]} if is_sent else {}),
    }


def _documents(cnpjs: Sequence[Cnpj], count: int, at: datetime, *, is_sent: bool) -> Iterator[Any]:
    kind = "sent" if is_sent else "waiting"
    for number in range(count):
        cnpj = cnpjs[number % len(cnpjs)]
        customer_id = f"{kind}-{number}"
        place = ("users", cnpj, "campaigns", CAMPAIGN, "targets", customer_id)
        yield place, _fields(cnpj, customer_id, at, is_sent=is_sent)


def _write(services: Services, documents: Iterator[Any]) -> None:
    """Write documents in the state in which a sender leaves them."""
    while part := list(islice(documents, 500)):
        request = BatchWriteRequest(database=services.database.name)
        for place, fields in part:
            write = BatchWriteRequest.pb(request).writes.add()
            write.update.name = services.database.path(*place)
            for name, value in encode_dict(fields).items():
                write.update.fields[name].CopyFrom(Value.pb(value))
        services.database.api.batch_write(request=request, metadata=services.database.metadata)


def _rows(services: Services, cnpjs: Sequence[Cnpj]) -> int:
    counts = (
        services.warehouse.query(
            f"select count(*) as rows_found, "
            f"count(distinct concat(user_id, cycle_key, cast(attempt as string))) as keys_found "
            f"from `{cnpj}_CAMPAIGN`.`message_history`",  # nosec B608 # a parsed CNPJ
            doing="counting",
        )
        for cnpj in cnpjs
    )
    total = 0
    for [count] in counts:
        if count["rows_found"] != count["keys_found"]:
            message = f"a key has more than one row: {count}"
            raise RuntimeError(message)
        total += count["rows_found"]
    return total


def _track(services: Services, cnpjs: Sequence[Cnpj], run: str, as_of: datetime) -> Result:
    began, cpu_began = time.perf_counter(), time.process_time()
    report = services.track(None, as_of=as_of)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    if report.exit_code or len(report.laundromats) != len(cnpjs):
        message = f"{run}: exit code {report.exit_code}, {len(report.laundromats)} laundromats"
        raise RuntimeError(message)
    changes = sum(item.rows for item in report.laundromats)
    return Result(
        run,
        changes,
        round(seconds, 2),
        round(cpu_seconds, 2),
        round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        round(report.documents_read / changes, 3) if changes else 0.0,
        sum(item.statements for item in report.laundromats) / len(cnpjs),
        _rows(services, cnpjs),
    )


def _run(services: Services, sizes: Sizes, console: Console) -> list[Result]:
    cnpjs = _cnpjs(sizes.laundromats)
    for cnpj in cnpjs:
        onboard(
            services.project,
            services.warehouse,
            services.registry,
            cnpj=cnpj,
            name="Lavanderia Exemplo",
            audit=services.new_audit_log("bench"),
        )
    services.track(None, as_of=AS_OF)
    console.print(f"[dim]{time.strftime('%H:%M:%S')} {len(cnpjs)} laundromats[/dim]")
    at = AS_OF + HOUR / 2
    waiting = _documents(cnpjs, sizes.changes, AS_OF - HOUR, is_sent=False)
    _write(services, chain(waiting, _documents(cnpjs, sizes.changes, at, is_sent=True)))
    console.print(f"[dim]{time.strftime('%H:%M:%S')} {sizes.changes:,} changed[/dim]")
    return [
        _track(services, cnpjs, "all have news", AS_OF + HOUR),
        _track(services, cnpjs, "nobody has news", AS_OF + 2 * HOUR),
    ]


def main() -> None:
    """Run the bench and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there too")
    arguments = parser.parse_args()
    console, before = Console(), machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        local_stack(find_project(), Path(folder), firestore=FirestoreKind.GOOGLE) as stack,
    ):
        services = Services(find_project(), stack.environment(), Path(folder) / "state")
        results = _run(services, _QUICK if arguments.quick else _FULL, console)
    table = Table(*(name.replace("_", " ") for name in Result.__dataclass_fields__))
    for result in results:
        table.add_row(
            *(
                value if isinstance(value, str) else f"{value:,}"
                for value in asdict(result).values()
            )
        )
    console.print(table)
    write_json(
        {"machine": before, "results": [asdict(result) for result in results]}, arguments.json
    )


if __name__ == "__main__":
    main()
