"""Measure the sender beside one call after the other: `make bench-send`.

The fake WhatsApp and Google's Firestore emulator run on this machine; both cost CPU of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
from common import machine, write_json
from rich.console import Console
from rich.table import Table

from loader.dbt.project import find_project
from loader.firestore.aio import connect_async, encoded_write
from loader.local.stack import WHATSAPP_ACCOUNT, local_stack
from whatsapp.api import message_body
from whatsapp.process import Seeds, send
from whatsapp.targets import Template
from whatsapp.templates import creation, read_seed_templates

if TYPE_CHECKING:
    from loader.local.stack import LocalStack

CNPJ = "11222333000181"
FAST = 1000


def main() -> None:
    """Run the measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the messages")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    count = 200 if arguments.quick else 800
    project = find_project()
    seeds = Seeds(project.root / "seeds")
    template = next(iter(read_seed_templates(seeds.templates).values()))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, local_stack(project, Path(folder)) as stack:
        os.environ |= stack.variables()
        with httpx2.Client(base_url=stack.whatsapp_url, trust_env=False, timeout=30) as client:
            submit(client, creation(template))
            values = tuple((name, "Ana") for name in template.variables)
            text = Template(template.name, template.language, values)
            for latency in (0.0, 0.1):
                for rate in (80, FAST):
                    prepare(client, latency, rate)
                    asyncio.run(put_targets(stack, text, count, rate))
                    rows.append(measure_sender(stack, seeds, client, latency, rate))
                prepare(client, latency, FAST)
                rows.append(measure_one_by_one(client, text, latency, min(count, 200)))
            prepare(client, 0.0, 80)
            rows.append(measure_idle(stack, seeds, client, text))
    show(rows)
    write_json({"machine": machine(), "rows": rows}, arguments.json)


def show(rows: list[dict[str, Any]]) -> None:
    """Print a row a measurement."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row.get(name, "")) for name in columns))
    Console(stderr=True).print(table)


def submit(client: httpx2.Client, body: dict[str, Any]) -> None:
    """Submit the template, which the stack's fake approves."""
    path = f"/v24.0/{WHATSAPP_ACCOUNT['wabaId']}/message_templates"
    client.post(path, json=body, headers=authorization()).raise_for_status()


def authorization() -> dict[str, str]:
    """Return the header with the fake's token."""
    return {"Authorization": f"Bearer {os.environ['WHATSAPP_TOKEN']}"}


def prepare(client: httpx2.Client, latency: float, rate: int) -> None:
    """Set the fake's latency and the number's rate."""
    settings = {"latency_seconds": latency, "review": "APPROVED"}
    client.put("/_fake/settings", json=settings).raise_for_status()
    number = {
        "id": WHATSAPP_ACCOUNT["phoneNumberId"],
        "waba_id": WHATSAPP_ACCOUNT["wabaId"],
        "display_phone_number": "551140000001",
        "messages_per_second": 10 * FAST if rate == FAST else rate,
    }
    portfolio = {"id": WHATSAPP_ACCOUNT["portfolioId"], "people_in_24_hours": None}
    accounts = {"numbers": [number], "portfolios": [portfolio]}
    client.post("/_fake/accounts", json=accounts).raise_for_status()


_next = iter(range(10_000_000))


async def put_targets(stack: LocalStack, text: Template, count: int, rate: int) -> None:
    """Write targets that wait."""
    database = connect_async(stack.environment())
    account = WHATSAPP_ACCOUNT | {"messagesPerSecond": rate}
    user = database.path("users", CNPJ)
    writes = [encoded_write(user, {"active": True, "whatsapp": account})]
    now = datetime.now(UTC)
    parameters = [{"parameter_name": name, "text": value} for name, value in text.parameters]
    payload = {"name": text.name, "language": text.language, "parameters": parameters}
    for _ in range(count):
        number = next(_next)
        name = database.path("users", CNPJ, "campaigns", "BIRTHDAY", "targets", f"c{number}")
        fields = {
            "cnpj": CNPJ,
            "campaignType": "BIRTHDAY",
            "customerId": f"c{number}",
            "phone": f"+5511{900_000_000 + number}",
            "data": {"message": "m", "template": payload},
            "status": "PENDING",
            "attempts": 0,
            "cycleKey": "2026",
            "createdAt": now,
            "expiresAt": now + timedelta(hours=5),
        }
        writes.append(encoded_write(name, fields))
    for start in range(0, len(writes), 200):
        await database.commit(writes[start : start + 200], "writing targets")
    await database.close()


def measure_sender(
    stack: LocalStack, seeds: Seeds, client: httpx2.Client, latency: float, rate: int
) -> dict[str, Any]:
    """Send everything once; the time is from the first to the last accepted message."""
    before = len(ledger(client))
    cpu = cpu_seconds()
    report, _ = send(stack.environment(), seeds, once=True)
    cpu = cpu_seconds() - cpu
    times = [datetime.fromisoformat(row["at"]).timestamp() for row in ledger(client)[before:]]
    assert len(times) == report.sent, report
    busiest = max(
        sum(start <= at < start + 1 for at in times[i : i + 2000]) for i, start in enumerate(times)
    )
    return {
        "what": f"vmhub send, a number of {rate}/s",
        "latency": latency,
        "messages": report.sent,
        "per second": round(report.sent / (times[-1] - times[0]), 1),
        "busiest second": busiest,
        "CPU s per 1,000": round(1000 * cpu / report.sent, 2),
        "reads per message": round(report.documents_read / report.sent, 2),
        "writes per message": round(report.writes_sent / report.sent, 2),
    }


def measure_one_by_one(
    client: httpx2.Client, text: Template, latency: float, count: int
) -> dict[str, Any]:
    """Post one after the other, without Firestore at all."""
    began, cpu = time.monotonic(), cpu_seconds()
    for _ in range(count):
        body = message_body(f"+5511{900_000_000 + next(_next)}", text, "v1.x.x")
        path = f"/v24.0/{WHATSAPP_ACCOUNT['phoneNumberId']}/marketing_messages"
        client.post(path, json=body, headers=authorization()).raise_for_status()
    return {
        "what": "httpx2, one after the other, no Firestore",
        "latency": latency,
        "messages": count,
        "per second": round(count / (time.monotonic() - began), 1),
        "CPU s per 1,000": round(1000 * (cpu_seconds() - cpu) / count, 2),
    }


def measure_idle(
    stack: LocalStack, seeds: Seeds, client: httpx2.Client, text: Template, count: int = 20
) -> dict[str, Any]:
    """Put one target at a time before an idle sender; how long until WhatsApp has it."""
    waits: list[float] = []

    def feed() -> None:
        time.sleep(4)
        for index in range(count):
            before = len(ledger(client))
            began = time.time()
            asyncio.run(put_targets(stack, text, 1, 80))
            while len(rows := ledger(client)) == before:
                time.sleep(0.05)
            waits.append(datetime.fromisoformat(rows[-1]["at"]).timestamp() - began)
            time.sleep(1 + 0.13 * index % 1)
        os.kill(os.getpid(), 15)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    send(stack.environment(), seeds, once=False)
    thread.join()
    return {
        "what": "from PENDING to the POST, idle sender",
        "latency": 0.0,
        "messages": count,
        "median s": round(statistics.median(waits), 2),
        "longest s": round(max(waits), 2),
    }


def ledger(client: httpx2.Client) -> list[dict[str, Any]]:
    """Return the accepted messages."""
    rows: list[dict[str, Any]] = client.get("/_fake/ledger").json()["messages"]
    return rows


def cpu_seconds() -> float:
    """Return the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
