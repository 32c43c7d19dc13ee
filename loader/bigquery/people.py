"""What tables hold of single people, by customer id: counted, read, deleted, made pseudonymous.

The ids travel as query parameters; names, phones and cpfs do not. The pseudonym is computed by
BigQuery itself, so that no statement shows which pseudonym belongs to which customer.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from loader.base.errors import RunError, ServiceError
from loader.base.pseudonyms import PSEUDONYM_PREFIX
from loader.bigquery.literals import timestamp
from loader.bigquery.secret_keys import PERSON_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse

__all__ = ["STREAMED", "PersonRows", "StreamedRowsError", "TablePlace", "any_day"]

_COUNT = (
    "select {number} as place, {day} as on_day, count(*) as found from {path} where {condition}"
)
_ROWS = "select * from {path} where {condition}"
_DELETE = "delete from {path} where {condition}"
_UPDATE = "update {path} set {values} where {condition}"
_DOUBLES = """from {path}
where {matched} in (select {known_key} from {path} where {known})"""

STREAMED = timedelta(minutes=90)
"""For how long BigQuery may refuse to change streamed rows.

https://cloud.google.com/bigquery/docs/data-manipulation-language#limitations
"""


class StreamedRowsError(RunError):
    """BigQuery does not change rows that were streamed in a short time ago."""


@dataclass(frozen=True)
class TablePlace:
    """A table that exists, and how a person's rows are found in it."""

    dataset: str
    table: str
    person_column: str
    cleared: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    partition_by: str | None = None
    is_streamed: bool = False
    """Its rows are streamed in, and it has those of all laundromats."""

    @property
    def name(self) -> str:
        """Return it as people know it."""
        return f"{self.dataset}.{self.table}"

    @property
    def path(self) -> str:
        """Return it as SQL names it."""
        return f"`{self.dataset}`.`{self.table}`"


class PersonRows:
    """The rows of some customer ids in a laundromat's tables."""

    def __init__(self, warehouse: Warehouse, cnpj: Cnpj, ids: Sequence[str]) -> None:
        """Find rows of these ids.

        Args:
            warehouse: Where the tables are.
            cnpj: The laundromat.
            ids: As in clientes.id.

        """
        self._warehouse = warehouse
        self._cnpj = cnpj
        self._parameters: Mapping[str, Sequence[str]] = {"ids": list(ids)}

    def counts(self, places: Sequence[TablePlace]) -> dict[str, Counter[date]]:
        """Return the number of rows by table and, if it is partitioned, by day; in one statement.

        Without partitions, the day is `date.min`.
        """
        parts = [
            _COUNT.format(
                number=int(number),
                day=_day(place),
                path=place.path,
                condition=self._condition(place),
            )
            + " group by 1, 2"
            for number, place in enumerate(places)
        ]
        found: dict[str, Counter[date]] = {place.name: Counter() for place in places}
        if parts:
            rows = self._run("\nunion all\n".join(parts), "counting a person's rows")
            for row in rows:
                found[places[row["place"]].name][row["on_day"]] += row["found"]
        return found

    def rows(self, place: TablePlace) -> list[dict[str, Any]]:
        """Return all columns of the rows."""
        return self._run(
            _ROWS.format(path=place.path, condition=self._condition(place)),
            f"reading a person's rows of {place.name}",
        )

    def delete(self, place: TablePlace) -> None:
        """Delete the rows."""
        self._run(
            _DELETE.format(path=place.path, condition=self._condition(place)),
            f"deleting a person's rows of {place.name}",
        )

    def make_pseudonymous(
        self, place: TablePlace, days: Sequence[date], *, before: datetime | None = None
    ) -> None:
        """Put the pseudonym in place of the id, and NULL in place of other personal columns.

        If a row with the pseudonym has the same key, it came first, and the other one is deleted.

        Args:
            place: The table.
            days: The partitions with the rows, so that no other is read or written.
            before: Leave streamed rows from this instant on alone.

        Raises:
            StreamedRowsError: BigQuery does not change some of the rows yet.

        """
        condition = self._condition(place)
        if place.partition_by is not None:
            condition += f" and ({any_day(place.partition_by, days)})"
            if before is not None:
                condition += f" and {place.partition_by} < {timestamp(before)}"
        doing = f"writing pseudonyms into {place.name}"
        if place.key:
            self._delete_doubles(place, condition, days, doing)
        values = [f"{place.person_column} = {self._pseudonym(place.person_column)}"]
        values += [f"{column} = null" for column in place.cleared]
        statement = _UPDATE.format(path=place.path, values=", ".join(values), condition=condition)
        self._run(statement, doing)

    def _delete_doubles(
        self, place: TablePlace, condition: str, days: Sequence[date], doing: str
    ) -> None:
        own, column = self._pseudonym(place.person_column), place.person_column
        known = f"starts_with({column}, '{PSEUDONYM_PREFIX}')"
        if place.partition_by is not None:
            # The two rows are of one attempt.
            around = sorted(
                {day + timedelta(days=off) for day in days if day.year > 1 for off in (-1, 0, 1)}
            ) or [date.min]
            known += f" and ({any_day(place.partition_by, around)})"
        doubles = _DOUBLES.format(
            path=place.path,
            matched=f"{condition} and {_key(own, place.key)}",
            known_key=_key(column, place.key),
            known=known,
        )
        [row] = self._run(f"select count(*) as found {doubles}", doing)
        if row["found"]:
            self._run(f"delete {doubles}", doing)

    def _pseudonym(self, column: str) -> str:
        key = f"`{self._cnpj}_CAMPAIGN`.{PERSON_KEY}()"
        digest = f"left(to_hex(sha256(concat({key}, '|', {column}))), 32)"
        return f"concat('{PSEUDONYM_PREFIX}', {digest})"

    def _condition(self, place: TablePlace) -> str:
        own = f"cnpj = '{self._cnpj}' and " if place.is_streamed else ""
        return f"{own}{place.person_column} in unnest(@ids)"

    def _run(self, sql: str, doing: str) -> list[dict[str, Any]]:
        try:
            return self._warehouse.query(sql, doing=doing, parameters=self._parameters)
        except ServiceError as error:
            if "streaming buffer" in str(error.__cause__):
                message = f"{doing}: BigQuery does not change rows that are younger than 90 minutes"
                raise StreamedRowsError(message, hint="run the same command again later") from error
            raise


def _day(place: TablePlace) -> str:
    if place.partition_by is None:
        return "date '0001-01-01'"
    return f"coalesce(date({place.partition_by}), date '0001-01-01')"


def _key(person: str, columns: Sequence[str]) -> str:
    """Return a row's key as one text; NULL with a column that is NULL, as in an older system's."""
    return f"concat({person}, {', '.join(_as_text(column) for column in columns)})"


def _as_text(column: str) -> str:
    return f"'|', cast({column} as string)"


def any_day(column: str, days: Sequence[date]) -> str:
    """Return the condition that a partition's TIMESTAMP is of one of some UTC days.

    `date.min` stands for rows without an instant. The condition compares with constants, so other
    partitions are not read.
    """
    return " or ".join(_within(column, day) for day in days)


def _within(column: str, day: date) -> str:
    if day.year == date.min.year:
        return f"{column} is null"
    begin = datetime.combine(day, time(), UTC)
    return f"({column} >= {timestamp(begin)} and {column} < {timestamp(begin + timedelta(days=1))})"
