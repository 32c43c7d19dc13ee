"""What sync costs compared with other ways to write targets: ``make bench-sync``.

In one run, every variant writes the same documents to the same Firestore emulator. Each has a
process and a project id of its own, which is emptied afterwards. Quick variants run three times in
turn, and the median counts. See docs/benches.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from common import Goal, at_most, emulators_cpu, machine, show_goals, write_json
from rich.console import Console
from rich.table import Table
from sync_variants import AS_OF, CAMPAIGN, CNPJ, CYCLE, DATA, DOCUMENT, Figures

from loader.dbt.project import find_project
from loader.firestore.client import connect
from loader.firestore.targets import TargetStore
from loader.local.stack import FirestoreKind, local_stack
from loader.operations.onboard import onboard
from loader.services import Services

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loader.base.environment import Environment
    from loader.local.stack import LocalStack

_VARIANTS = Path(__file__).with_name("sync_variants.py")


@dataclass(frozen=True)
class Sizes:
    """How many documents each variant writes."""

    one_by_one: int
    batched: int
    ceiling: int
    syncs: tuple[int, ...]
    """Numbers of new targets; the last runs once, the others as often as the other variants."""
    rounds: int

    @property
    def compared(self) -> int:
        """The size at which sync is compared with the other variants."""
        return self.syncs[-2]


_FULL = Sizes(2_000, 20_000, 100_000, (10_000, 100_000, 1_000_000), rounds=3)
_QUICK = Sizes(500, 2_000, 5_000, (1_000, 5_000, 20_000), rounds=1)


@dataclass(frozen=True)
class Result:
    """A variant's figures, the median of its rounds."""

    variant: str
    documents: int
    documents_per_second: float
    client_cpu_per_10k: float
    """CPU seconds of all the client's threads."""
    emulator_cpu_per_10k: float
    """CPU seconds of both emulators, which share the machine with the client."""
    peak_mib: float
    outcomes: dict[str, int]


class Bench:
    """Runs variants against one stack."""

    def __init__(self, stack: LocalStack, console: Console) -> None:
        """Use a running stack; progress goes to the console."""
        self._stack = stack
        self._console = console
        self._figures: dict[str, list[tuple[Figures, float]]] = {}
        self._projects = 0
        self._sample: dict[str, Any] = {}

    def writes(self, variant: str, count: int) -> None:
        """Run a variant that only writes."""
        self._run(f"{variant}, {count:,}", variant, count, self._environment())

    def syncs(self, count: int, *, is_followed: bool) -> None:
        """Run sync on new targets; if followed, run it again without and with changes."""
        environment = self._environment()
        services = Services(find_project(), environment, self._stack.state_dir)
        onboard(
            services.project,
            services.warehouse,
            services.registry,
            cnpj=CNPJ,
            name="Lavanderia Exemplo",
            timezone=None,
            audit=services.new_audit_log("bench"),
        )
        _publish(services, count, changed_percent=0)
        self._run(f"sync, {count:,} new", "sync", count, environment, is_last=not is_followed)
        if is_followed:
            self._run(f"sync, {count:,} unchanged", "sync", count, environment, is_last=False)
            _publish(services, count, changed_percent=1)
            self._run(f"sync, {count:,}, 1 % changed", "sync", count, environment)
        services.warehouse.query(
            f"drop table `{CNPJ}_CAMPAIGN`.`campaign_targets`", doing="making room"
        )

    def results(self) -> list[Result]:
        """Return the median figures of every variant."""
        return [_middle(name, rounds) for name, rounds in self._figures.items()]

    def warm_up(self, count: int) -> None:
        """Write documents without measuring: the emulator's Java is slow at first."""
        self.writes("ceiling", count)
        self._figures.clear()

    def _run(
        self, name: str, variant: str, count: int, environment: Environment, *, is_last: bool = True
    ) -> None:
        self._console.print(f"[dim]{time.strftime('%H:%M:%S')} {name}[/dim]")
        busy = emulators_cpu(self._stack)
        finished = subprocess.run(
            [sys.executable, str(_VARIANTS), variant, str(count)],
            env={**os.environ, **environment.variables()},
            stdout=subprocess.PIPE,
            check=True,
        )
        figures = Figures(**json.loads(finished.stdout.splitlines()[-1]))
        counted = sum(figures.outcomes.values())
        if counted != count:
            message = f"{name}: {counted} of {count} documents are accounted for"
            raise RuntimeError(message)
        self._figures.setdefault(name, []).append((figures, emulators_cpu(self._stack) - busy))
        store = TargetStore(connect(environment), CNPJ)
        sample = store.fields(CAMPAIGN, DOCUMENT["id"].replace("@", "00000001"))
        self._sample = self._sample or sample
        if sample != self._sample:
            message = f"{name} writes another document than the variant before it"
            raise RuntimeError(message)
        if is_last:
            _empty(self._stack.firestore_host, environment.project)

    def _environment(self) -> Environment:
        self._projects += 1
        project = f"bench-{self._projects}"
        return replace(self._stack.environment(), project=project)


def _middle(name: str, rounds: list[tuple[Figures, float]]) -> Result:
    def middle(values: Iterable[float]) -> float:
        return round(float(statistics.median(values)), 3)

    first, _ = rounds[0]
    return Result(
        name,
        first.documents,
        middle(figures.documents / figures.seconds for figures, _ in rounds),
        middle(figures.cpu_seconds / figures.documents * 1e4 for figures, _ in rounds),
        middle(emulators / figures.documents * 1e4 for figures, emulators in rounds),
        middle(figures.peak_mib for figures, _ in rounds),
        first.outcomes,
    )


def _publish(services: Services, count: int, *, changed_percent: int) -> None:
    """Create campaign_targets inside the emulator: sending the rows would take minutes."""
    digits = "lpad(cast(number as string), 8, '0')"

    def told(text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace("'", "\\'")
        return f"replace('{escaped}', '@', {digits})"

    changed = told(DATA.replace("42 dias", "43 dias"))
    columns = {
        "cnpj": f"'{CNPJ}'",
        "campaign_type": f"'{CAMPAIGN}'",
        "customer_id": told(DOCUMENT["id"]),
        "name": told(DOCUMENT["name"]),
        "phone": told(DOCUMENT["phone"]),
        "data": f"parse_json(if(mod(number, 100) < {changed_percent}, {changed}, {told(DATA)}))",
        **{name: _literal(value) for name, value in CYCLE.items()},
        "built_at": _literal(AS_OF),
    }
    listed = ", ".join(f"{value} as {name}" for name, value in columns.items())
    rows = f"unnest(generate_array(1, {count}))"
    for table, query in (
        ("campaign_targets", f"select {listed} from {rows} as number"),  # nosec B608 # constants
        ("target_publication", f"select '{CNPJ}' as cnpj, {_literal(AS_OF)} as built_at"),
    ):
        services.warehouse.query(
            f"create or replace table `{CNPJ}_CAMPAIGN`.`{table}` as {query}", doing="publishing"
        )


def _literal(value: object) -> str:
    return f"timestamp '{value}'" if isinstance(value, datetime) else f"'{value}'"


def _empty(host: str, project: str) -> None:
    """Delete a project's documents, since the emulator keeps everything in memory."""
    url = f"http://{host}/emulator/v1/projects/{project}/databases/(default)/documents"
    with urlopen(Request(url, method="DELETE"), timeout=600):  # nosec B310 # the emulator
        pass


def _goals(results: list[Result], sizes: Sizes) -> list[Goal]:
    by_name = {result.variant: result for result in results}
    ours = by_name[f"sync, {sizes.compared:,} new"]
    small, large = (by_name[f"sync, {sizes.syncs[i]:,} new"] for i in (0, -1))

    def at_least(ratio: float, variant: str, count: int) -> Goal:
        found = ours.documents_per_second / by_name[f"{variant}, {count:,}"].documents_per_second
        return Goal(f"documents/s, sync : {variant}", f"≥ {ratio:g}", found, found >= ratio)

    return [
        at_least(20, "BulkWriter", sizes.one_by_one),
        at_least(3, "BulkWriter, unthrottled", sizes.batched),
        at_least(2, "WriteBatch", sizes.batched),
        at_least(0.7, "ceiling", sizes.ceiling),
        at_most("client CPU seconds per 10,000 new", 0.2, ours.client_cpu_per_10k),
        at_most(f"peak MiB at {sizes.syncs[-1]:,}", 300, large.peak_mib),
        at_most(
            f"peak MiB, {sizes.syncs[-1]:,} : {sizes.syncs[0]:,}",
            1.5,
            large.peak_mib / small.peak_mib,
        ),
    ]


def _show(console: Console, results: list[Result], goals: list[Goal]) -> None:
    table = Table(
        "variant", *("documents/s", "client CPU s/10k", "emulators CPU s/10k", "peak MiB")
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for result in results:
        table.add_row(
            result.variant,
            f"{result.documents_per_second:,.0f}",
            f"{result.client_cpu_per_10k:.2f}",
            f"{result.emulator_cpu_per_10k:.2f}",
            f"{result.peak_mib:.0f}",
        )
    console.print(table)
    show_goals(console, goals)


def main() -> None:
    """Run all variants and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there too")
    arguments = parser.parse_args()
    sizes = _QUICK if arguments.quick else _FULL
    # Firestore's emulator keeps everything that was ever written. With Java's default heap, a
    # quarter of the memory, it would only collect garbage by the time of the largest size.
    os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:MaxRAMPercentage=70")
    console, before = Console(), machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        local_stack(find_project(), Path(folder), firestore=FirestoreKind.GOOGLE) as stack,
    ):
        results = _run_all(Bench(stack, console), sizes)
    goals = _goals(results, sizes)
    _show(console, results, goals)
    figures = {
        "machine": before,
        "results": [asdict(result) for result in results],
        "goals": [asdict(goal) for goal in goals],
    }
    write_json(figures, arguments.json)


def _run_all(bench: Bench, sizes: Sizes) -> list[Result]:
    bench.warm_up(sizes.batched)
    for _ in range(sizes.rounds):
        bench.writes("set", sizes.one_by_one)
        bench.writes("WriteBatch", sizes.batched)
        bench.writes("BulkWriter", sizes.one_by_one)
        bench.writes("BulkWriter, unthrottled", sizes.batched)
        bench.writes("ceiling", sizes.ceiling)
        for count in sizes.syncs[:-1]:
            bench.syncs(count, is_followed=count == sizes.compared)
    # Not followed: the emulator builds the answer to a query in memory, and a million pending
    # documents do not fit.
    bench.syncs(sizes.syncs[-1], is_followed=False)
    return bench.results()


if __name__ == "__main__":
    main()
