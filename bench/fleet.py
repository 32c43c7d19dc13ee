"""What the hourly run of a fleet costs: ``make bench-fleet``.

It runs the same hour of small laundromats in three ways: a `dbt build --vars` process each, dbt's
runner in one process that parses for each, and `vmhub run`, which also tracks and syncs. It
measures the client's CPU, the seconds and the memory, how they grow with laundromats and with
models, and the bytes that BigQuery would bill for the SQL that ran. See docs/benches.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Goal, at_most, emulators_cpu, machine, show_goals, write_json
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, firestore
from rich.console import Console
from rich.table import Table

from loader.base.cnpj import with_check_digits
from loader.bigquery.declaration import Column, SourceTable
from loader.dbt.project import Project, find_project
from loader.local.stack import FirestoreKind, local_stack
from loader.operations.onboard import onboard
from loader.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from loader.base.cnpj import Cnpj
    from loader.local.stack import LocalStack

# A Monday, 10:00 in São Paulo.
AS_OF = datetime(2026, 11, 23, 13, tzinfo=UTC)
HOUR = timedelta(hours=1)
PEOPLE = 5
# The loop of processes is slow, and all laundromats are alike, so a few are enough.
COMPARED = 5
MORE_MODELS = 10
MIB_A_TABLE = 10
# Tables in the four queries of the specification: birthday and welcome read clientes and
# message_history; reactivation and loyalty also read vendas.
SPEC_TABLES = 2 + 2 + 3 + 3
OPEN_HOURS = 11


@dataclass(frozen=True)
class Result:
    """The figures of one way to serve some laundromats for one hour."""

    variant: str
    laundromats: int
    cpu_each: float
    """Client CPU seconds per laundromat, of all processes from their start on."""
    seconds_each: float
    emulators_cpu_each: float
    """CPU seconds of both emulators during that time, on the same cores."""
    peak_mib: float
    """Peak memory of the largest process."""


class Bench:
    """A stack, a copy of the project, and the laundromats made so far."""

    def __init__(self, services: Services, stack: LocalStack) -> None:
        """Begin without laundromats, in the session's own Google Cloud project."""
        self.services = services
        self._stack = stack
        self._cnpjs: list[Cnpj] = []
        self._as_of = AS_OF
        project, credentials = services.environment.project, AnonymousCredentials()  # type: ignore[no-untyped-call]
        self._firestore = firestore.Client(project=project, credentials=credentials)
        self._bigquery = bigquery.Client(
            project=project,
            credentials=credentials,
            client_options=ClientOptions(api_endpoint=services.environment.bigquery_url),
        )

    def grow(self, count: int) -> list[Cnpj]:
        """Create laundromats up to this number, ready for an ordinary hour."""
        for number in range(len(self._cnpjs), count):
            cnpj = with_check_digits(f"{11_000_000 + number}0001")
            self._make(cnpj)
            self._cnpjs.append(cnpj)
        return self._cnpjs

    def next_hour(self) -> str:
        """Return the next instant; all are on one day, since targets would expire otherwise."""
        self._as_of += timedelta(minutes=1)
        return self._as_of.isoformat()

    def _make(self, cnpj: Cnpj) -> None:
        services = self.services
        tables = {table.name: table for table in services.project.source_tables()}
        services.warehouse.create_dataset(f"{cnpj}_RAW", description="Rows of a bench.")
        for name in ("clientes", "vendas"):
            services.warehouse.create_table(tables[name], cnpj)
        onboard(
            services.project,
            services.warehouse,
            services.registry,
            cnpj=cnpj,
            name="Lavanderia Exemplo",
            audit=services.new_audit_log("bench"),
        )
        services.warehouse.append(tables["clientes"], cnpj, list(_people()))
        services.warehouse.append(tables["vendas"], cnpj, list(_sales()))
        path = services.project.root / "seeds" / "message_templates.csv"
        with path.open(encoding="utf-8", newline="") as lines:
            texts = list(csv.DictReader(lines))
        columns = tuple(Column(name, "STRING", "") for name in texts[0])
        table = SourceTable("CAMPAIGN", "message_templates", "", columns, None, ())
        services.warehouse.create_table(table, cnpj)
        services.warehouse.append(table, cnpj, texts)
        # Loading seeds and building figures belong to other hours.
        self._firestore.document(f"users/{cnpj}/operations/run").set(
            {"deployed": services.project.seeds_version(), "figuresAsOf": AS_OF}
        )

    def dbt_processes(self) -> Result:
        """Build some laundromats with one dbt process each."""
        return self._measured("dbt build --vars, a process each", COMPARED, self._dbt_processes)

    def _dbt_processes(self) -> float:
        for cnpj in self._cnpjs[:COMPARED]:
            self._run(Path(sys.executable).parent / "dbt", *self._dbt_arguments(cnpj))
        return 0.0

    def dbt_runner(self) -> Result:
        """Build them in one process, which parses the project for each."""
        commands = [self._dbt_arguments(cnpj) for cnpj in self._cnpjs[:COMPARED]]

        def run() -> float:
            self._run(sys.executable, __file__, "--runner", json.dumps(commands))
            return 0.0

        return self._measured("dbtRunner, a parse each", COMPARED, run)

    def vmhub_run(self, variant: str = "vmhub run --all --jobs 2") -> Result:
        """Serve all existing laundromats."""

        def run() -> float:
            arguments = ("run", "--all", "--jobs", "2", "--as-of", self.next_hour(), "--json")
            report = json.loads(self._run(sys.executable, "-m", "loader", *arguments))
            if report["counts"] != {"ok": len(self._cnpjs)}:
                message = f"not all went well: {report['counts']}"
                raise RuntimeError(message)
            return float(report["peak_memory_mib"])

        return self._measured(variant, len(self._cnpjs), run)

    def _dbt_arguments(self, cnpj: Cnpj) -> list[str]:
        folder = str(self.services.state_dir / "bench" / cnpj)
        variables = json.dumps({"cnpj": cnpj, "as_of": self.next_hour()})
        return [
            *("build", "--selector", "hourly", "--vars", variables, "--quiet"),
            *("--target-path", folder, "--log-path", folder),
        ]

    def _measured(self, variant: str, laundromats: int, run: Any) -> Result:
        began, cpu_began, emulators_began = (
            time.monotonic(),
            _children_cpu(),
            emulators_cpu(self._stack),
        )
        peak_mib = run()
        result = Result(
            variant,
            laundromats,
            round((_children_cpu() - cpu_began) / laundromats, 3),
            round((time.monotonic() - began) / laundromats, 3),
            round((emulators_cpu(self._stack) - emulators_began) / laundromats, 3),
            # If the run itself does not report it, take the largest of all children so far.
            peak_mib or round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1),
        )
        _log(f"{variant}, {laundromats}: {result.cpu_each} CPU s each")
        return result

    def _run(self, *command: str | Path) -> str:
        environment = {
            **os.environ,
            **self.services.environment.variables(),
            "DBT_PROJECT_DIR": str(self.services.project.root),
        }
        done = subprocess.run(
            command,
            cwd=self.services.project.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            message = f"{command[:4]} ended with {done.returncode}: {done.stderr}{done.stdout}"
            raise RuntimeError(message)
        return done.stdout

    def billed(self) -> dict[str, int]:
        """Serve one laundromat for some hours; return the MiB that BigQuery would bill."""
        [cnpj] = self._cnpjs

        def run() -> None:
            arguments = ("run", "--cnpj", cnpj, "--as-of", self.next_hour())
            self._run(sys.executable, "-m", "loader", *arguments)

        def figures() -> None:
            arguments = ("build", "--cnpj", cnpj, "--as-of", self.next_hour())
            self._run(sys.executable, "-m", "loader", *arguments, "--selector", "daily")

        quiet = self._tables_read(run)
        self._send_one(cnpj)
        news = self._tables_read(run)
        self._run(
            *(sys.executable, "-m", "loader", "build", "--cnpj", cnpj, "--selector", "deploy"),
            *("--as-of", self.next_hour()),
        )
        # The first hour creates tables to which later ones add rows.
        figures()
        daily = self._tables_read(figures)
        # The hour after the window withdraws; late read receipts are tracked in two more hours.
        day = OPEN_HOURS * news + quiet + 2 * (news - quiet) + daily
        return {
            "an hour without news": quiet * MIB_A_TABLE,
            "an hour with news of messages": news * MIB_A_TABLE,
            "the figures of a day": daily * MIB_A_TABLE,
            "a day with news in every open hour": day * MIB_A_TABLE,
            "the specification's four queries, an hour": SPEC_TABLES * MIB_A_TABLE,
        }

    def _send_one(self, cnpj: Cnpj) -> None:
        """Send one message, as a sender would."""
        at = self._as_of
        path = f"users/{cnpj}/campaigns/BIRTHDAY/targets/customer-0"
        entry = {"attempt": 1, "at": at, "status": "SENT", "messageId": "wamid.example"}
        self._firestore.document(path).update(
            {"status": "SENT", "attempts": 1, "updatedAt": at, "attemptLog": [entry]}
        )

    def _tables_read(self, do: Callable[[], None]) -> int:
        """Return how many tables the queries of a call read, counted once per query."""
        known = {job.job_id for job in self._jobs()}
        do()
        return sum(_tables(job.query) for job in self._jobs() if job.job_id not in known)

    def _jobs(self) -> list[Any]:
        jobs = self._bigquery.list_jobs(max_results=10_000, all_users=True)
        return [job for job in jobs if job.job_type == "query"]

    def add_models(self) -> None:
        """Add very simple models to the hourly build."""
        folder = self.services.project.root / "models" / "targets"
        for number in range(MORE_MODELS):
            sql = "select customer_id from {{ ref('campaign_targets') }}\n"
            (folder / f"more_{number}.sql").write_text(sql, encoding="utf-8")


def _people() -> Iterator[dict[str, Any]]:
    for number in range(PEOPLE):
        yield {
            "id": f"customer-{number}",
            "nome": "Cliente Exemplo",
            "telefone": f"119{number:08d}",
            "cpf": f"{number + 1:011d}",
            "dataNascimento": f"1990-11-{23 + number % 2}T00:00:00Z",
            "dataCadastro": "2025-01-10T12:00:00Z",
        }


def _sales() -> Iterator[dict[str, Any]]:
    for number in range(4 * PEOPLE):
        yield {
            "data": f"2026-09-{1 + number:02d}T12:00:00Z",
            "cpfCliente": f"{number % PEOPLE + 1:011d}",
            "valor": 20.0,
            "status": "COMPLETED",
        }


def _tables(sql: str) -> int:
    """Return how many tables a statement reads; each is billed for at least 10 MiB."""
    code = re.sub(r"--[^\n]*", "", sql)
    if re.search(r"where\s+false\b.*\blimit\s+0\s*$", code, re.DOTALL):
        # dbt asks for a contract's columns: nothing is processed, and probably nothing is billed,
        # which only a real project can show.
        return 0
    # A table that is written is billed only if it is also read, as by a merge.
    code = re.sub(r"create or replace table\s+\S+|alter table\s+\S+", "", code)
    return len(set(re.findall(r"`(\w+_(?:RAW|CAMPAIGN)|VMHUB_OPS)`\.`(\w+)`", code)))


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _log(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def _goals(results: Sequence[Result], billed: dict[str, int]) -> list[Goal]:
    processes, _, *runs = results
    runs = [run for run in runs if run.variant.endswith("2")]
    largest, smallest = runs[-1], runs[0]
    ratio = processes.cpu_each / largest.cpu_each
    news = billed["an hour with news of messages"]
    return [
        Goal("client CPU, dbt build processes : vmhub run", "≥ 15", ratio, ratio >= 15),  # noqa: PLR2004
        at_most("client CPU seconds for each laundromat", 0.6, largest.cpu_each),
        at_most(
            f"peak MiB, {largest.laundromats:,} : {smallest.laundromats:,}",
            1.2,
            largest.peak_mib / smallest.peak_mib,
        ),
        at_most("MiB billed, an hour without news", 80, billed["an hour without news"]),
        at_most("MiB billed, an hour with news", 80, news),
        at_most(
            "MiB billed, an hour on the average of a day",
            80,
            billed["a day with news in every open hour"] / 24,
        ),
    ]


def _show(console: Console, results: Sequence[Result], billed: dict[str, int]) -> None:
    table = Table(
        "variant", "laundromats", "client CPU s", "seconds", "emulators CPU s", "peak MiB"
    )
    for result in results:
        table.add_row(*(str(value) for value in asdict(result).values()))
    console.print(table)
    table = Table("MiB billed for a laundromat", "")
    for name, mib in billed.items():
        table.add_row(name, str(mib))
    console.print(table)


def _runner(commands: list[list[str]]) -> None:
    """Run dbt commands in this process, one after another."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    for command in commands:
        result = dbtRunner().invoke(command)
        if not result.success:
            raise RuntimeError(str(result.exception or result.result))


def _copied(project: Project, folder: Path) -> Project:
    """Return a copy of the project with a state folder of its own."""
    for part in ("models", "macros", "seeds", "tests/dbt"):
        shutil.copytree(project.root / part, folder / part)
    for file in ("dbt_project.yml", "selectors.yml"):
        shutil.copy(project.root / file, folder / file)
    return Project(folder)


def main() -> None:
    """Run the bench and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it")
    parser.add_argument("--sizes", default="50,200,1000", help="how many laundromats, ascending")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there too")
    parser.add_argument("--runner", metavar="COMMANDS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.runner:
        _runner(json.loads(arguments.runner))
        return
    sizes = [5, 10] if arguments.quick else [int(size) for size in arguments.sizes.split(",")]
    console, before = Console(), machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = _copied(find_project(), folder / "project")
        with local_stack(find_project(), folder / "stack", firestore=FirestoreKind.GOOGLE) as stack:
            os.environ["FIRESTORE_EMULATOR_HOST"] = stack.firestore_host
            services = Services(project, stack.environment(), project.state_dir)
            bench = Bench(services, stack)
            _log("making laundromats")
            bench.grow(max(COMPARED, sizes[0]))
            results = [bench.dbt_processes(), bench.dbt_runner()]
            for size in sizes:
                bench.grow(size)
                # Warm up: the first time dbt parses, and Firestore's Java is still slow.
                results.append(bench.vmhub_run())

            def elsewhere(name: str, count: int) -> Bench:
                environment = replace(services.environment, project=name)
                other = Bench(Services(project, environment, project.state_dir), stack)
                other.grow(count)
                return other

            billed = elsewhere("billed", 1).billed()
            few = elsewhere("more-models", sizes[0])
            few.add_models()
            results.append(few.vmhub_run(f"the same with {MORE_MODELS} more tables"))
    goals = _goals(results, billed)
    _show(console, results, billed)
    show_goals(console, goals)
    write_json(
        {
            "machine": before,
            "results": [asdict(result) for result in results],
            "mib_billed": billed,
            "goals": [asdict(goal) for goal in goals],
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
