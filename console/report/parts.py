"""The building blocks of the page: a table, and a drawing of the same figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Chart", "Table"]


@dataclass(frozen=True)
class Table:
    """Figures in rows; the first column names the row."""

    name: str
    """Its id in the page."""
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] | None = None
    phone_columns: str = ""
    """Widths of the other columns on a phone, where the first column stands above them; empty: the
    first column stays beside them."""


@dataclass(frozen=True)
class Chart:
    """A table of figures with a drawing of them; no drawing when there is nothing to compare."""

    svg: Markup | None
    table: Table
