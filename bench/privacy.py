"""What erasing one person costs among many: ``make bench-privacy``.

One laundromat has many documents and a long history; one of its customers is erased. It measures
the seconds, the documents read and written, and the bytes that BigQuery would bill, and checks that
the person's rows are pseudonymous and all others are untouched. See docs/benches.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Goal, at_most, machine, show_goals, write_json
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.firestore_v1._helpers import encode_dict
from google.cloud.firestore_v1.types import BatchWriteRequest, Value
from rich.console import Console
from rich.table import Table
from sqlglot import exp, parse_one

from loader.base.cnpj import with_check_digits
from loader.cli.privacy_access import Access
from loader.dbt.project import find_project
from loader.local.stack import FirestoreKind, local_stack
from loader.operations.onboard import onboard
from loader.services import Services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.operations.privacy.erase import EraseReport

CNPJ = with_check_digits("110000000001")
PERSON = "customer-7"
AS_OF = datetime(2026, 11, 23, 13, tzinfo=UTC)
CAMPAIGN = "REACTIVATION"
_DAYS = 1000
_MIB = 2**20


@dataclass(frozen=True)
class Sizes:
    """How much the laundromat has."""

    documents: int
    rows: int


_FULL, _QUICK = Sizes(100_000, 10_000_000), Sizes(1_000, 20_000)


@dataclass(frozen=True)
class Result:
    """One erasure."""

    run: str
    documents: int
    rows: int
    seconds: float
    documents_read: int
    queries: int
    mib_scanned: float
    """Of the columns and partitions that the statements on the history name."""
    mib_of_history: float
    """All of it."""


def _documents(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for number in range(count):
        customer_id = f"customer-{number}"
        yield (
            customer_id,
            {
                "cnpj": CNPJ,
                "campaignType": CAMPAIGN,
                "customerId": customer_id,
                "name": "Cliente Exemplo",
                "phone": f"+55119{number:08}",
                "data": {"message": "Oi, Cliente, sentimos sua falta!"},
                "cycleKey": "2026-11",
                "createdAt": AS_OF,
                "updatedAt": AS_OF,
                "status": "SENT",
                "attempts": 1,
            },
        )


def _write_documents(services: Services, count: int) -> None:
    documents = _documents(count)
    while part := list(islice(documents, 500)):
        request = BatchWriteRequest(database=services.database.name)
        for customer_id, fields in part:
            write = BatchWriteRequest.pb(request).writes.add()
            write.update.name = services.database.path(
                *("users", CNPJ, "campaigns", CAMPAIGN, "targets", customer_id)
            )
            for name, value in encode_dict(fields).items():
                write.update.fields[name].CopyFrom(Value.pb(value))
        services.database.api.batch_write(request=request, metadata=services.database.metadata)


# The person has one message in a hundred days.
_HISTORY = """
insert into `{cnpj}_CAMPAIGN`.`message_history` (
    user_id, campaign_type, sent_at, status, message_content, phone, message_id, attempt,
    cycle_key, updated_at
)
select
    concat(
        'customer-',
        if(mod(number, {each}) = 7, '7', cast(100 + mod(number, 90000) as string))
    ),
    'REACTIVATION',
    timestamp_sub(timestamp '2026-11-23 13:00:00+00:00', interval div(number, {a_day}) day),
    'READ',
    'Oi, Cliente, sentimos sua falta! Volte com um ciclo de lavagem por nossa conta.',
    '+5511900000007',
    concat('wamid.', cast(number as string)),
    1,
    cast(number as string),
    timestamp '2026-11-23 13:00:00+00:00'
from unnest(generate_array({first}, {last})) as number
"""
_AT_ONCE = 200_000
_BYTES = """
select
    count(*) as found,
    countif(user_id = '{person}') as theirs,
    countif(starts_with(user_id, 'person-')) as pseudonymous
from `{cnpj}_CAMPAIGN`.`message_history`
"""
# How BigQuery counts: 2 bytes and the text for a STRING, 8 bytes for numbers and instants.
_COLUMN_BYTES = {
    "user_id": 16,
    "campaign_type": 14,
    "sent_at": 8,
    "status": 6,
    "message_content": 81,
    "phone": 16,
    "message_id": 14,
    "attempt": 8,
    "cycle_key": 9,
    "updated_at": 8,
}


def _write_history(services: Services, rows: int) -> None:
    a_day = max(1, rows // _DAYS)
    for first in range(0, rows, _AT_ONCE):
        last = min(rows, first + _AT_ONCE) - 1
        sql = _HISTORY.format(cnpj=CNPJ, each=100 * a_day, a_day=a_day, first=first, last=last)
        services.warehouse.query(sql, doing="writing a history")


def _counts(services: Services) -> dict[str, int]:
    sql = _BYTES.format(cnpj=CNPJ, person=PERSON)
    [row] = services.warehouse.query(sql, doing="counting")
    return row


def _scanned(sql: str, sizes: Sizes) -> int:
    """Return the bytes of message_history that BigQuery reads for a statement.

    It reads the named columns: of a day's partition if the instant is compared with constants, else
    of all. An UPDATE reads every column of the partitions that it writes.
    """
    tree = parse_one(sql, dialect="bigquery")
    total = 0
    parts = [tree] if isinstance(tree, exp.Update | exp.Delete) else list(tree.find_all(exp.Select))
    for part in parts:
        source = part.find(exp.Table)
        if source is None or source.name != "message_history":
            continue
        where = part.find(exp.Where)
        days = {
            bound.expression.sql()
            for bound in (where.find_all(exp.GTE) if where else ())
            if isinstance(bound.this, exp.Column) and bound.this.name == "sent_at"
        }
        rows = sizes.rows * len(days) // _DAYS if days else sizes.rows
        names = {column.name for column in part.find_all(exp.Column)}
        if isinstance(part, exp.Update | exp.Delete):
            names = {*_COLUMN_BYTES}
        total += rows * sum(_COLUMN_BYTES.get(name, 0) for name in names)
    return total


def _statements(services: Services) -> list[str]:
    client = bigquery.Client(
        project=services.environment.project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options=ClientOptions(api_endpoint=services.environment.bigquery_url),
    )
    jobs = client.list_jobs(max_results=10_000, all_users=True)
    return [job.query for job in jobs if job.job_type == "query"]


def _erase(services: Services, run: str, sizes: Sizes) -> Result:
    known = len(_statements(services))
    began = time.perf_counter()
    work = Access.of(services, CNPJ).eraser(PERSON)
    report: EraseReport = work.eraser.erase(work.plan)
    seconds = time.perf_counter() - began
    if report.pending:
        message = f"{run}: {report.pending}"
        raise RuntimeError(message)
    statements = _statements(services)
    new = statements[: len(statements) - known]
    return Result(
        run,
        sizes.documents,
        sizes.rows,
        round(seconds, 2),
        report.documents_read,
        len(new),
        round(sum(_scanned(sql, sizes) for sql in new) / _MIB, 2),
        round(sizes.rows * sum(_COLUMN_BYTES.values()) / _MIB, 2),
    )


def _run(services: Services, sizes: Sizes, console: Console) -> list[Result]:
    services.warehouse.create_dataset(f"{CNPJ}_RAW", description="Bench rows.")
    tables = {table.name: table for table in services.project.source_tables()}
    for name in ("clientes", "vendas"):
        services.warehouse.create_table(tables[name], CNPJ)
    onboard(
        services.project,
        services.warehouse,
        services.registry,
        cnpj=CNPJ,
        name="Lavanderia Exemplo",
        audit=services.new_audit_log("bench"),
    )
    person = {"id": PERSON, "nome": "Cliente Exemplo", "telefone": "11900000007"}
    services.warehouse.append(tables["clientes"], CNPJ, [person])
    _write_documents(services, sizes.documents)
    console.print(f"[dim]{time.strftime('%H:%M:%S')} {sizes.documents:,} documents[/dim]")
    _write_history(services, sizes.rows)
    before = _counts(services)
    console.print(f"[dim]{time.strftime('%H:%M:%S')} {sizes.rows:,} rows[/dim]")
    # The first one parses the project, which a person waits for, too.
    results = [_erase(services, "erase", sizes), _erase(services, "again", sizes)]
    after = _counts(services)
    if after["found"] != before["found"] or after["theirs"] or not before["theirs"]:
        message = f"the history is not as it should be: {before}, {after}"
        raise RuntimeError(message)
    if after["pseudonymous"] != before["theirs"]:
        message = f"not every row is pseudonymous: {before}, {after}"
        raise RuntimeError(message)
    return results


def _goals(results: list[Result]) -> list[Goal]:
    first = results[0]
    return [
        at_most("documents read of one person among many", 40, first.documents_read),
        at_most(
            "MiB of the history scanned, of its size",
            0.25,
            first.mib_scanned / first.mib_of_history,
        ),
    ]


def main() -> None:
    """Run the bench and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it")
    parser.add_argument("--documents", type=int, metavar="N", help="documents of the laundromat")
    parser.add_argument("--rows", type=int, metavar="N", help="rows of its history")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there too")
    arguments = parser.parse_args()
    sizes = _QUICK if arguments.quick else _FULL
    sizes = Sizes(arguments.documents or sizes.documents, arguments.rows or sizes.rows)
    console, before = Console(), machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        local_stack(find_project(), Path(folder), firestore=FirestoreKind.GOOGLE) as stack,
    ):
        services = Services(find_project(), stack.environment(), Path(folder) / "state")
        results = _run(services, sizes, console)
    table = Table(*(name.replace("_", " ") for name in Result.__dataclass_fields__))
    for result in results:
        table.add_row(
            *(
                value if isinstance(value, str) else f"{value:,}"
                for value in asdict(result).values()
            )
        )
    console.print(table)
    show_goals(console, _goals(results))
    write_json(
        {"machine": before, "results": [asdict(result) for result in results]}, arguments.json
    )


if __name__ == "__main__":
    main()
