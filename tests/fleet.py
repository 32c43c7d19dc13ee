"""A fleet of small laundromats, some broken in different ways, and how to fix them."""

from __future__ import annotations

import csv
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from loader.base.cnpj import with_check_digits
from loader.bigquery.declaration import Column, SourceTable
from loader.fleet.run import FleetOptions, FleetReport, run_fleet
from loader.operations.onboard import onboard
from tests.faults.bigquery import relaying
from tests.support import AS_OF, change_settings, make_laundromat, official_client

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loader.base.cnpj import Cnpj
    from loader.services import Services
    from tests.faults.bigquery import Request

__all__ = ["BROKEN", "Fleet", "cnpjs", "customers", "load_texts", "make_small", "note_deployed"]

# The expected report of each broken laundromat: the step and the kind of error.
BROKEN = {
    "missing dataset": ("BUILD", "ConfigurationError"),
    "missing column": ("BUILD", "ConfigurationError"),
    "bad setting": ("SETTINGS", "ConfigurationError"),
    "failing dbt test": ("BUILD", "BuildError"),
    "hanging query": ("BUILD", "TimeLimitError"),
}


def cnpjs(count: int) -> list[Cnpj]:
    """Return invented CNPJs with valid check digits."""
    return [with_check_digits(f"{11_000_000 + number}0001") for number in range(count)]


def customers(count: int) -> list[dict[str, Any]]:
    """Return customers whose birthday is at AS_OF."""
    return [
        {
            "id": f"customer-{number}",
            "nome": "Ana Exemplo",
            "telefone": f"119{number:08d}",
            # Not the same year for all: a birth date that too many customers have does not count.
            "dataNascimento": f"{1930 + number % 90}-11-23T00:00:00Z",
            "dataCadastro": "2025-01-10T12:00:00Z",
        }
        for number in range(count)
    ]


def make_small(services: Services, cnpj: Cnpj) -> None:
    """Create a laundromat with two birthdays."""
    make_laundromat(services, cnpj, clientes=customers(2))


def note_deployed(services: Services, cnpj: Cnpj, **notes: Any) -> None:
    """Record for a laundromat that its seeds were just loaded, and its figures just built."""
    version = services.project.seeds_version()
    official_client(services.environment).document(f"users/{cnpj}/operations/run").set(
        {"deployed": version, "figuresAsOf": AS_OF, **notes}
    )


def load_texts(services: Services, cnpj: Cnpj) -> None:
    """Load the texts like the first deployment by `vmhub run`, but faster, without dbt."""
    path = services.project.root / "seeds" / "message_templates.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    columns = tuple(Column(name, "STRING", "") for name in rows[0])
    table = SourceTable("CAMPAIGN", "message_templates", "", columns, None, ())
    services.warehouse.create_table(table, cnpj)
    services.warehouse.append(table, cnpj, rows)
    note_deployed(services, cnpj)


@dataclass
class Fleet:
    """Laundromats, of which five are broken."""

    services: Services
    well: Sequence[Cnpj]
    broken: dict[str, Cnpj]
    limit_seconds: float
    _is_hanging: threading.Event = field(default_factory=threading.Event)
    _end: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def make(cls, services: Services, count: int, *, limit_seconds: float) -> Fleet:
        """Create ``count`` laundromats; the last five are broken."""
        names = cnpjs(count)
        well, rest = names[: -len(BROKEN)], names[-len(BROKEN) :]
        fleet = cls(services, well, dict(zip(BROKEN, rest, strict=True)), limit_seconds)
        for cnpj in well:
            make_small(services, cnpj)
        for kind in BROKEN:
            fleet._break(kind)
        for cnpj in names:
            load_texts(services, cnpj)
        services.warehouse.query(
            f"delete from `{fleet.broken['failing dbt test']}_CAMPAIGN`.`message_templates` "
            "where true",
            doing="breaking the texts",
        )
        return fleet

    @contextmanager
    def served(self, **options: Any) -> Iterator[FleetReport]:
        """Run the fleet with two workers; one laundromat's queries hang in BigQuery."""
        assert self.services.environment.bigquery_url is not None
        with relaying(self.services.environment.bigquery_url) as relay:
            relay.hook = self._hold
            environment = replace(self.services.environment, bigquery_url=relay.url)
            behind = replace(self.services, environment=environment)
            try:
                yield run_fleet(
                    behind,
                    None,
                    FleetOptions(jobs=2, limit_seconds=self.limit_seconds, **options),
                )
            finally:
                self._end.set()

    def _hold(self, request: Request) -> None:
        cnpj = self.broken["hanging query"]
        if self._is_hanging.is_set() and f"{cnpj}_CAMPAIGN`" in str(request.body):
            self._end.wait()

    def _break(self, kind: str) -> None:
        services, cnpj = self.services, self.broken[kind]
        match kind:
            case "missing dataset":
                onboard(
                    services.project,
                    services.warehouse,
                    services.registry,
                    cnpj=cnpj,
                    name="Sem dados",
                    audit=services.new_audit_log("test"),
                )
            case "missing column":
                make_small(services, cnpj)
                self._make_again(cnpj, without="telefone")
            case "bad setting":
                make_small(services, cnpj)
                change_settings(services, cnpj, loyalty_min_visits="ten")
            case "failing dbt test":
                # The texts are removed as soon as they are loaded.
                make_small(services, cnpj)
            case "hanging query":
                make_small(services, cnpj)
                self._is_hanging.set()

    def fix(self) -> None:
        """Fix every laundromat as its error says."""
        services = self.services
        make_small(services, self.broken["missing dataset"])
        self._make_again(self.broken["missing column"])
        change_settings(services, self.broken["bad setting"])
        # The texts are loaded again with the next deployment.
        note_deployed(services, self.broken["failing dbt test"], deployed="another version")
        self._is_hanging.clear()
        self._end.clear()

    def _make_again(self, cnpj: Cnpj, *, without: str = "") -> None:
        table = self._table("clientes")
        columns = tuple(column for column in table.columns if column.name != without)
        self.services.warehouse.query(f"drop table `{cnpj}_RAW`.`clientes`", doing="dropping")
        self.services.warehouse.create_table(replace(table, columns=columns), cnpj)
        if not without:
            self.services.warehouse.append(table, cnpj, customers(2))

    def _table(self, name: str) -> SourceTable:
        return next(table for table in self.services.project.source_tables() if table.name == name)
