"""Measure the webhook: `make bench-webhook`. POSTs of 1 and of 100 statuses, 50 a second.

It runs as one process on this machine. Google's Firestore emulator uses CPU on the same machine. So
the same reads and commits are measured without a webhook, too, at the same rate: what the emulator
alone needs. Everything is measured once the emulator is warm.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

import httpx2
import psutil
from common import at_most, emulators_cpu, machine, show_goals, write_json
from rich.console import Console
from rich.table import Table

from loader.dbt.project import find_project
from loader.firestore.aio import connect_async, encoded_write
from loader.firestore.wire import SERVER_TIME
from loader.local.servers import free_port
from loader.local.stack import WHATSAPP_ACCOUNT, FirestoreKind, local_stack
from loader.local.whatsapp import WHATSAPP_SECRETS
from whatsapp.fake.payloads import sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.firestore.aio import AsyncDatabase
    from loader.local.stack import LocalStack

CNPJ = "11222333000181"
PER_SECOND = 50
STATUSES = ("sent", "delivered", "read")
_OK, _BUSY = 200, 503
SECRET = WHATSAPP_SECRETS["WHATSAPP_APP_SECRET"]


def main() -> None:
    """Run the measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the time")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    seconds = 4 if arguments.quick else 12
    loads = ((1, PER_SECOND), (100, PER_SECOND // 5), (100, PER_SECOND))
    with (
        tempfile.TemporaryDirectory() as folder,
        local_stack(find_project(), Path(folder), firestore=FirestoreKind.GOOGLE) as stack,
    ):
        # Google's emulator compiles itself while it works: for half a minute it needs four times
        # the CPU. Firestore does not.
        for size, rate in loads[:2]:
            asyncio.run(measure_calls(stack, size, rate, seconds))
            asyncio.run(measure(stack, size, rate, seconds))
        rows = [
            asyncio.run(measure(stack, size, rate, seconds))
            | asyncio.run(measure_calls(stack, size, rate, seconds))
            for size, rate in loads
        ]
    show(rows)
    goals = [
        at_most(f"{figure} ms, POSTs of {row['statuses a POST']}, {row['wanted']} a second", *found)
        for row in rows
        for figure, *found in (("median", 50, row["median ms"]), ("99 %", 250, row["99 % ms"]))
    ]
    show_goals(Console(stderr=True), goals)
    write_json({"machine": machine(), "rows": rows}, arguments.json)


def show(rows: list[dict[str, Any]]) -> None:
    """Print one column per measurement."""
    table = Table("", *(f"{row['statuses a POST']} x {row['wanted']}/s" for row in rows))
    for name in rows[0]:
        table.add_row(name, *(str(row[name]) for row in rows))
    Console(stderr=True).print(table)


async def measure(stack: LocalStack, size: int, rate: int, seconds: int) -> dict[str, Any]:
    """Post at an even rate without waiting for answers, and measure each answer."""
    count = rate * seconds
    batches = -(-count // len(STATUSES))
    run = f"{size}x{rate}-{time.time_ns()}"
    await put_attempts(stack, run, batches * size)
    port = free_port()
    process = start(stack, port)
    try:
        until_ready(port)
        bodies = list(itertools.islice(posts(run, batches, size), count))
        inside = psutil.Process(process.pid)
        cpu, others = sum(inside.cpu_times()[:2]), emulators_cpu(stack)
        began = time.monotonic()
        found = await post_all(f"http://127.0.0.1:{port}/webhook", bodies, rate)
        took = time.monotonic() - began
        cpu = sum(inside.cpu_times()[:2]) - cpu
        others = emulators_cpu(stack) - others
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    counts = json.loads(out)
    statuses = counts["items"]["receipt"]
    taken = [milliseconds for status, milliseconds in found if status == _OK]
    # POSTs beyond its capacity get 503; any other failure is an error.
    assert {status for status, _ in found} <= {_OK, _BUSY}, counts
    assert statuses == len(taken) * size, counts
    times = sorted(taken)
    return {
        "statuses a POST": size,
        "POSTs a second": round(count / took, 1),
        "wanted": rate,
        "told to come again": len(found) - len(taken),
        "median ms": round(times[len(times) // 2], 1),
        "99 % ms": round(times[int(len(times) * 0.99)], 1),
        "longest ms": round(times[-1], 1),
        "CPU s per 1,000 statuses": round(1000 * cpu / statuses, 2),
        "cores of the webhook": round(cpu / took, 2),
        "cores of the emulators": round(others / took, 2),
        "reads a status": round(counts["documents_read"] / statuses, 2),
        "writes a status": round(counts["writes_sent"] / statuses, 2),
    }


async def measure_calls(stack: LocalStack, size: int, rate: int, seconds: int) -> dict[str, Any]:
    """Make the webhook's calls at the same rate, with writes that are made before."""
    count = rate * seconds
    batches = -(-count // len(STATUSES))
    run = f"bare{size}x{rate}-{time.time_ns()}"
    await put_attempts(stack, run, batches * size)
    database = connect_async(stack.environment())
    prepared = list(itertools.islice(calls(database, run, batches, size), count))

    async def call(names: tuple[list[str], list[str]], writes: list[bytes], due: float) -> float:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        for some in names:
            await database.get(some, "reading")
        await database.commit(writes, "writing")
        return 1000 * (time.monotonic() - due)

    own, others = sum(psutil.Process().cpu_times()[:2]), emulators_cpu(stack)
    began = time.monotonic() + 0.5
    times = sorted(
        await asyncio.gather(
            *(call(*one, began + index / rate) for index, one in enumerate(prepared))
        )
    )
    took = time.monotonic() - began
    own, others = sum(psutil.Process().cpu_times()[:2]) - own, emulators_cpu(stack) - others
    await database.close()
    return {
        "bare calls: median ms": round(times[len(times) // 2], 1),
        "bare calls: 99 % ms": round(times[int(len(times) * 0.99)], 1),
        "bare calls: CPU s per 1,000 statuses": round(1000 * own / (count * size), 2),
        "bare calls: cores of the emulators": round(others / took, 2),
    }


def calls(
    database: AsyncDatabase, run: str, batches: int, size: int
) -> Iterator[tuple[tuple[list[str], list[str]], list[bytes]]]:
    """Yield the names that one POST reads, attempts and targets, and its writes."""
    for told in STATUSES:
        for batch in range(batches):
            sends, targets = [], []
            for number in range(batch * size, (batch + 1) * size):
                path = ("users", CNPJ, "campaigns", "BIRTHDAY", "targets", f"{run}-c{number}")
                sends.append(database.path("users", CNPJ, "sends", f"{run}-a{number}"))
                targets.append(database.path(*path))
            fields = {"status": told.upper(), "updatedAt": SERVER_TIME}
            writes = [encoded_write(name, fields) for name in (*sends, *targets)]
            yield (sends, targets), writes


async def put_attempts(stack: LocalStack, run: str, count: int) -> None:
    """Write targets, each with an open attempt, as the sender leaves them."""
    database = connect_async(stack.environment())
    now = datetime.now(UTC)
    user = {"active": True, "name": "Bench", "whatsapp": WHATSAPP_ACCOUNT}
    writes = [encoded_write(database.path("users", CNPJ), user)]
    for number in range(count):
        customer, attempt = f"{run}-c{number}", f"{run}-a{number}"
        entry = {"attempt": 1, "attemptId": attempt, "at": now, "status": "SENDING"}
        common = {"campaignType": "BIRTHDAY", "customerId": customer, "cycleKey": "2026"}
        send = {**common, "attempt": 1, "portfolioId": "1001", "at": now, "status": "SENDING"}
        target = {
            **common,
            "cnpj": CNPJ,
            "phone": f"+5511{900_000_000 + number}",
            "data": {"message": "m" * 300},
            "status": "PENDING",
            "attempts": 0,
            "attemptLog": [entry],
        }
        path = ("users", CNPJ, "campaigns", "BIRTHDAY", "targets", customer)
        writes.append(encoded_write(database.path("users", CNPJ, "sends", attempt), send))
        writes.append(encoded_write(database.path(*path), target))
    for start_at in range(0, len(writes), 400):
        await database.commit(writes[start_at : start_at + 400], "writing attempts")
    await database.close()


def start(stack: LocalStack, port: int) -> subprocess.Popen[str]:
    """Start a webhook."""
    return subprocess.Popen(
        [sys.executable, "-m", "loader", "webhook", "--port", str(port), "--json"],
        env={**os.environ, **stack.variables()},
        stdout=subprocess.PIPE,
        text=True,
    )


def until_ready(port: int) -> None:
    """Wait until it takes POSTs."""
    for _ in range(600):
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):  # nosec B310 # this machine
                return
        except (URLError, OSError):
            time.sleep(0.05)
    message = "the webhook does not start"
    raise RuntimeError(message)


def posts(run: str, batches: int, size: int) -> Iterator[tuple[bytes, str]]:
    """Yield signed bodies: for each attempt first sent, then delivered, then read."""
    at = int(time.time())
    for seconds, told in enumerate(STATUSES):
        for batch in range(batches):
            numbers = range(batch * size, (batch + 1) * size)
            statuses = [
                {
                    "id": f"wamid.{run}.{number}",
                    "status": told,
                    "timestamp": str(at + seconds),
                    "recipient_id": f"5511{900_000_000 + number}",
                    "biz_opaque_callback_data": f"v1.{CNPJ}.{run}-a{number}",
                    "pricing": {"billable": True, "category": "marketing", "type": "regular"},
                }
                for number in numbers
            ]
            metadata = {"phone_number_id": WHATSAPP_ACCOUNT["phoneNumberId"]}
            value = {"metadata": metadata, "statuses": statuses}
            change = {"field": "messages", "value": value}
            whole = {"entry": [{"id": "3001", "time": at, "changes": [change]}]}
            raw = json.dumps(whole, separators=(",", ":")).encode()
            yield raw, sign(raw, SECRET)


async def post_all(url: str, bodies: list[tuple[bytes, str]], rate: int) -> list[tuple[int, float]]:
    """Post at an even rate; return each status, and the milliseconds since the POST was due."""
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:

        async def post(raw: bytes, signature: str, due: float) -> tuple[int, float]:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            answer = await client.post(url, content=raw, headers={"X-Hub-Signature-256": signature})
            return answer.status_code, 1000 * (time.monotonic() - due)

        began = time.monotonic() + 0.5
        return await asyncio.gather(
            *(post(*body, began + index / rate) for index, body in enumerate(bodies))
        )


if __name__ == "__main__":
    main()
