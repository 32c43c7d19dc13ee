"""What the parts of the page are made of: a table, and a drawing of the same figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Chart", "Table"]


@dataclass(frozen=True)
class Table:
    """Figures in rows; the first column says whose."""

    name: str
    """Its id in the page."""
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] | None = None
    phone_columns: str = ""
    """How wide the others are when, on a phone, the first column stands above them; empty: it does
    not."""


@dataclass(frozen=True)
class Chart:
    """A drawing with the table of its figures; no drawing when there is nothing to compare."""

    svg: Markup | None
    table: Table
