"""Compare the sender with loops that send one message after another: `make bench-send`.

The fake WhatsApp and a Firestore emulator run on this machine; both cost CPU of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
from common import Goal, at_most, machine, show_goals, write_json
from rich.console import Console
from rich.table import Table
from send_load import VERSION, Load, authorization, next_phone, put_targets

from loader.dbt.project import find_project
from loader.local.stack import FirestoreKind, local_stack
from whatsapp.api import message_body
from whatsapp.process import Seeds, send
from whatsapp.templates import read_seed_templates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loader.base.environment import Environment
    from whatsapp.templates import SeedTemplate

RATE, FAST = 80, 1000
LATENCIES = (0.0, 0.1)
_LEAST_FACTOR = 10.0
_LONGEST_MEDIAN_SECONDS = 2.0
_GIVEN_UP_SECONDS = 120.0
_PIPE_WIDTH = 200

Row = dict[str, Any]


def main() -> None:
    """Run the measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the messages")
    parser.add_argument("--targets", type=int, help="targets of the fleet; default 400 or 100,000")
    parser.add_argument(
        "--laundromats", type=int, help="laundromats of the fleet; default 10 or 200"
    )
    parser.add_argument("--portfolios", type=int, help="portfolios of the fleet; default 4 or 20")
    parser.add_argument("--pywa", metavar="PYTHON", help="a Python in which pywa is installed")
    parser.add_argument(
        "--parts", nargs="+", choices=("number", "idle", "fleet"), help="default: all three"
    )
    parser.add_argument(
        "--firestore",
        type=FirestoreKind,
        choices=list(FirestoreKind),
        default=FirestoreKind.EMBEDDED,
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    project = find_project()
    seeds = Seeds(project.root / "seeds")
    seed = next(iter(read_seed_templates(seeds.templates).values()))
    with (
        tempfile.TemporaryDirectory() as folder,
        local_stack(project, Path(folder), firestore=given.firestore) as stack,
    ):
        os.environ |= stack.variables()
        with httpx2.Client(base_url=stack.whatsapp_url, trust_env=False, timeout=300) as client:
            bench = Bench(stack.environment(), seeds, seed, client)
            count = 200 if given.quick else 800
            parts = given.parts or ("number", "idle", "fleet")
            rows: list[Row] = []
            if "number" in parts:
                rows.extend(bench.one_number(count, given.pywa))
            if "idle" in parts:
                rows.append(bench.idle(20 if given.quick else 200))
            if "fleet" in parts:
                show(rows)  # The fleet takes long.
                rows.append(
                    bench.fleet(
                        given.targets or (400 if given.quick else 100_000),
                        given.laundromats or (10 if given.quick else 200),
                        given.portfolios or (4 if given.quick else 20),
                    )
                )
    show(rows)
    if not given.pywa:
        Console(stderr=True).print("Without pywa, which is no part of this project: --pywa PYTHON")
    show_goals(Console(stderr=True), goals(rows))
    write_json({"machine": machine(), "rows": rows}, given.json)


def goals(rows: Sequence[Row]) -> Iterator[Goal]:
    """Compare the figures with the goals."""
    found = {(row["what"], row["latency"]): row for row in rows}
    if (IDLE, 0.0) in found:
        median = found[IDLE, 0.0]["median s"]
        yield at_most("from PENDING to the POST, median", _LONGEST_MEDIAN_SECONDS, median)
    if (LOOP, 0.1) not in found:
        return
    fast = found[sender_name(FAST), 0.1]["per second"]
    factor = fast / found[LOOP, 0.1]["per second"]
    name = f"at 100 ms, times {LOOP}"
    yield Goal(name, f"≥ {_LEAST_FACTOR:g}", factor, factor >= _LEAST_FACTOR)
    for latency in LATENCIES:
        busiest = found[sender_name(RATE), latency]["busiest second"]
        yield at_most(f"busiest second of a number of {RATE}, {latency:g} s", RATE, busiest)


def show(rows: Sequence[Row]) -> None:
    """Print one row per measurement."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row.get(name, "")) for name in columns))
    console = Console(stderr=True)
    (console if console.is_terminal else Console(stderr=True, width=_PIPE_WIDTH)).print(table)


IDLE = "from PENDING to the POST, idle sender"
LOOP = "httpx2, one after the other, no Firestore"


def sender_name(rate: int) -> str:
    """Return the name of the sender's row."""
    return f"vmhub send, a number of {rate}/s"


class Bench:
    """Measurements against one local stack."""

    def __init__(
        self, environment: Environment, seeds: Seeds, seed: SeedTemplate, client: httpx2.Client
    ) -> None:
        """Use these; the client controls the fake."""
        self._environment, self._seeds, self._seed = environment, seeds, seed
        self._client = client

    def one_number(self, count: int, pywa: str | None) -> Iterator[Row]:
        """Yield the rows of the sender with one number, and of the loops."""
        for latency in LATENCIES:
            for rate in (RATE, FAST):
                load = Load(self._seed, per_second=rate)
                load.prepare(self._client, latency)
                yield self._send(sender_name(rate), load, latency, count)
            Load(self._seed, per_second=10 * FAST).prepare(self._client, latency)
            yield self._one_by_one(latency, min(count, 200))
            if pywa:
                yield self._pywa(pywa, latency, min(count, 200))

    def fleet(self, count: int, laundromats: int, portfolios: int) -> Row:
        """Send for many laundromats at once, at 100 ms a call."""
        load = Load(self._seed, laundromats, portfolios)
        load.prepare(self._client, 0.1)
        name = f"vmhub send, {laundromats} laundromats, {portfolios} portfolios"
        return self._send(name, load, 0.1, count)

    def _send(self, name: str, load: Load, latency: float, count: int) -> Row:
        """Send everything once; the time is from the first to the last accepted message.

        On a busy machine some POSTs time out: their outcome is unknown, and some targets of their
        number wait for the next poll. The row says how many.
        """
        before = len(self._accepted())
        born = asyncio.run(put_targets(self._environment, load, count))
        cpu = cpu_seconds()
        report, _ = send(self._environment, self._seeds, once=True)
        cpu = cpu_seconds() - cpu
        at = self._accepted()[before:]
        stopped = sum(report.stopped.values())
        assert report.sent + report.unknown + stopped == count, report
        assert report.sent <= len(at) <= report.sent + report.unknown, report
        times = sorted(instant.timestamp() for _, instant in at)
        waits = [(instant - born[to]).total_seconds() for to, instant in at]
        return {
            "what": name,
            "latency": latency,
            "messages": report.sent,
            "unknown": report.unknown,
            "not begun": stopped,
            "per second": round(report.sent / (times[-1] - times[0]), 1),
            "busiest second": busiest(times) if load.laundromats == 1 else "",
            "CPU s per 1,000": round(1000 * cpu / report.sent, 2),
            "reads per message": round(report.documents_read / report.sent, 2),
            "writes per message": round(report.writes_sent / report.sent, 2),
            **shares(waits),
            "peak MiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }

    def _one_by_one(self, latency: float, count: int) -> Row:
        """Post one message after another, without Firestore."""
        load, took = Load(self._seed), []
        path = f"/{VERSION}/{load.number()}/marketing_messages"
        cpu = cpu_seconds()
        for _ in range(count):
            began = time.perf_counter()
            body = message_body(next_phone(), load.text, "v1.x.x")
            self._client.post(path, json=body, headers=authorization()).raise_for_status()
            took.append(time.perf_counter() - began)
        return loop_row(LOOP, latency, took, cpu_seconds() - cpu)

    def _pywa(self, python: str, latency: float, count: int) -> Row:
        """Let pywa post one message after another, in its own process."""
        load = Load(self._seed)
        loop = Path(__file__).with_name("pywa_loop.py")
        url = f"{str(self._client.base_url).rstrip('/')}/{VERSION}"
        names = ",".join(self._seed.variables)
        arguments = [url, load.number(), self._seed.name, names, str(count)]
        # Only with its own packages.
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        ended = subprocess.run(
            [python, str(loop), *arguments],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            message = f"pywa's loop failed:\n{ended.stderr}"
            raise RuntimeError(message)
        told = json.loads(ended.stdout)
        name = f"pywa {told['version']}, one after the other, no Firestore"
        return loop_row(name, latency, told["took"], told["cpu"])

    def idle(self, count: int) -> Row:
        """Write targets for an idle sender at random instants; measure until WhatsApp has each."""
        load = Load(self._seed)
        load.prepare(self._client, 0.0)
        before = len(self._accepted())
        born: dict[str, datetime] = {}
        rng = random.Random(1)  # noqa: S311 - instants of a bench

        def feed() -> None:
            time.sleep(4)
            for _ in range(count):
                born.update(asyncio.run(put_targets(self._environment, load, 1)))
                time.sleep(rng.uniform(0, 1.5))
            given_up = time.monotonic() + _GIVEN_UP_SECONDS
            while len(self._accepted()) < before + count and time.monotonic() < given_up:
                time.sleep(0.5)
            os.kill(os.getpid(), 15)

        thread = threading.Thread(target=feed, daemon=True)
        thread.start()
        send(self._environment, self._seeds, once=False)
        thread.join()
        at = self._accepted()[before:]
        assert len(at) == count
        waits = [(instant - born[to]).total_seconds() for to, instant in at]
        return {"what": IDLE, "latency": 0.0, "messages": count, **shares(waits)}

    def _accepted(self) -> list[tuple[str, datetime]]:
        """Return recipient and instant of each accepted message."""
        rows = self._client.get("/_fake/ledger").json()["messages"]
        return [(row["to"].removeprefix("+"), datetime.fromisoformat(row["at"])) for row in rows]


def loop_row(name: str, latency: float, took: Sequence[float], cpu: float) -> Row:
    """Return the row of a loop that sends one message after another."""
    return {
        "what": name,
        "latency": latency,
        "messages": len(took),
        "per second": round(len(took) / sum(took), 1),
        "CPU s per 1,000": round(1000 * cpu / len(took), 2),
        **shares(took),
    }


def shares(seconds: Iterable[float]) -> Row:
    """Return the median and the 99th percentile."""
    ordered = sorted(seconds)
    return {
        "median s": round(ordered[len(ordered) // 2], 3),
        "99 % s": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 3),
    }


def busiest(times: Sequence[float]) -> int:
    """Return the most messages of any second; the times are in order."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def cpu_seconds() -> float:
    """Return the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
