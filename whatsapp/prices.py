"""What a delivered message costs: the reader of seeds/whatsapp_prices.csv."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Prices", "read_prices"]

_COLUMNS = ["category", "valid_from", "price_brl"]


@dataclass(frozen=True)
class Prices:
    """Prices in BRL by category, each with its first day."""

    rows: tuple[tuple[str, date, float], ...]

    def of(self, category: str, day: date) -> float:
        """Return the price of a category on a day; the first price also applies to earlier days."""
        known = sorted((since, price) for name, since, price in self.rows if name == category)
        if not known:
            # An unknown category gets the highest price, so that no budget is exceeded.
            return max(price for _, _, price in self.rows)
        valid = [price for since, price in known if since <= day]
        return valid[-1] if valid else known[0][1]


def read_prices(file: Path) -> Prices:
    """Read the seed.

    Raises:
        ConfigurationError: The file is missing or empty, or one of its rows cannot be read; the
            message names the line.

    """
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            reader = csv.DictReader(opened)
            if reader.fieldnames != _COLUMNS:
                msg = f"{file.name} has the columns {reader.fieldnames}"
                raise ConfigurationError(msg, hint=f"its first line must be {','.join(_COLUMNS)}")
            rows = tuple(_row(f"{file.name}, line {reader.line_num}", row) for row in reader)
    except OSError as error:
        msg = f"{file} cannot be read ({error.strerror})"
        raise ConfigurationError(msg, hint="it is part of the project; restore it") from error
    if not rows:
        msg = f"{file.name} has no price"
        raise ConfigurationError(msg, hint="add one row per category")
    return Prices(rows)


def _row(where: str, row: dict[str, str]) -> tuple[str, date, float]:
    try:
        return row["category"], date.fromisoformat(row["valid_from"]), float(row["price_brl"])
    except (TypeError, ValueError) as error:
        msg = f"{where} cannot be read"
        raise ConfigurationError(
            msg, hint="use a category, a day as 2026-01-31 and an amount as 0.35"
        ) from error
