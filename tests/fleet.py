"""A fleet of small laundromats, some of them broken in different ways, and their mending."""

from __future__ import annotations

import csv
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from loader.cnpj import with_check_digits
from loader.fleet.run import FleetOptions, FleetReport, run_fleet
from loader.onboard import onboard
from loader.project import Column, SourceTable
from tests.faults.bigquery import relaying
from tests.support import AS_OF, change_settings, make_laundromat, official_client

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loader.cnpj import Cnpj
    from loader.session import Session
    from tests.faults.bigquery import Request

__all__ = ["BROKEN", "Fleet", "cnpjs", "customers", "load_texts", "make_small", "note_deployed"]

# How each of the broken ones is reported: the step and the error's kind.
BROKEN = {
    "missing dataset": ("BUILD", "ConfigurationError"),
    "missing column": ("BUILD", "ConfigurationError"),
    "bad setting": ("SETTINGS", "ConfigurationError"),
    "failing dbt test": ("BUILD", "BuildError"),
    "hanging query": ("BUILD", "TimeLimitError"),
}


def cnpjs(count: int) -> list[Cnpj]:
    """Return invented CNPJs with good check digits."""
    return [with_check_digits(f"{11_000_000 + number}0001") for number in range(count)]


def customers(count: int) -> list[dict[str, Any]]:
    """Return customers whose birthday it is at AS_OF."""
    return [
        {
            "id": f"customer-{number}",
            "nome": "Cliente Exemplo",
            "telefone": f"119{number:08d}",
            "dataNascimento": "1990-11-23T00:00:00Z",
            "dataCadastro": "2025-01-10T12:00:00Z",
        }
        for number in range(count)
    ]


def make_small(session: Session, cnpj: Cnpj) -> None:
    """Create a laundromat with two people to congratulate."""
    make_laundromat(session, cnpj, clientes=customers(2))


def note_deployed(session: Session, cnpj: Cnpj, **notes: Any) -> None:
    """Say of a laundromat that its seeds were loaded, and its figures built, a moment ago."""
    version = session.project.seeds_version()
    official_client(session.environment).document(f"users/{cnpj}/operations/run").set(
        {"deployed": version, "figuresAsOf": AS_OF, **notes}
    )


def load_texts(session: Session, cnpj: Cnpj) -> None:
    """Load the texts as `vmhub run` would with its first deployment, without dbt's seconds."""
    path = session.project.root / "seeds" / "message_templates.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    columns = tuple(Column(name, "STRING", "") for name in rows[0])
    table = SourceTable("CAMPAIGN", "message_templates", "", columns, None, ())
    session.warehouse.create_table(table, cnpj)
    session.warehouse.append(table, cnpj, rows)
    note_deployed(session, cnpj)


@dataclass
class Fleet:
    """Laundromats, of which five are broken."""

    session: Session
    well: Sequence[Cnpj]
    broken: dict[str, Cnpj]
    limit_seconds: float
    _is_hanging: threading.Event = field(default_factory=threading.Event)
    _end: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def make(cls, session: Session, count: int, *, limit_seconds: float) -> Fleet:
        """Create ``count`` laundromats; the last five are broken."""
        names = cnpjs(count)
        well, rest = names[: -len(BROKEN)], names[-len(BROKEN) :]
        fleet = cls(session, well, dict(zip(BROKEN, rest, strict=True)), limit_seconds)
        for cnpj in well:
            make_small(session, cnpj)
        for kind in BROKEN:
            fleet._break(kind)
        for cnpj in names:
            load_texts(session, cnpj)
        session.warehouse.query(
            f"delete from `{fleet.broken['failing dbt test']}_CAMPAIGN`.`message_templates` "
            "where true",
            doing="breaking the texts",
        )
        return fleet

    @contextmanager
    def served(self, **options: Any) -> Iterator[FleetReport]:
        """Run all of it by two workers, with a BigQuery in which one laundromat's queries hang."""
        assert self.session.environment.bigquery_url is not None
        with relaying(self.session.environment.bigquery_url) as relay:
            relay.hook = self._hold
            environment = replace(self.session.environment, bigquery_url=relay.url)
            behind = replace(self.session, environment=environment)
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
        session, cnpj = self.session, self.broken[kind]
        match kind:
            case "missing dataset":
                onboard(
                    session.project,
                    session.warehouse,
                    session.registry,
                    cnpj=cnpj,
                    name="Sem dados",
                )
            case "missing column":
                make_small(session, cnpj)
                self._make_again(cnpj, without="telefone")
            case "bad setting":
                make_small(session, cnpj)
                change_settings(session, cnpj, loyalty_min_visits="ten")
            case "failing dbt test":
                # Without texts, which are taken away once they are loaded.
                make_small(session, cnpj)
            case "hanging query":
                make_small(session, cnpj)
                self._is_hanging.set()

    def mend(self) -> None:
        """Do what the errors say."""
        session = self.session
        make_small(session, self.broken["missing dataset"])
        self._make_again(self.broken["missing column"])
        change_settings(session, self.broken["bad setting"])
        # The texts are loaded again with the next deployment.
        note_deployed(session, self.broken["failing dbt test"], deployed="another version")
        self._is_hanging.clear()
        self._end.clear()

    def _make_again(self, cnpj: Cnpj, *, without: str = "") -> None:
        table = self._table("clientes")
        columns = tuple(column for column in table.columns if column.name != without)
        self.session.warehouse.query(f"drop table `{cnpj}_RAW`.`clientes`", doing="dropping")
        self.session.warehouse.create_table(replace(table, columns=columns), cnpj)
        if not without:
            self.session.warehouse.append(table, cnpj, customers(2))

    def _table(self, name: str) -> SourceTable:
        return next(table for table in self.session.project.source_tables() if table.name == name)
