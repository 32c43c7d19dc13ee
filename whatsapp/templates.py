"""Compares the seed's texts with the templates that WhatsApp has. Pure."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = [
    "Listed",
    "SeedTemplate",
    "creation",
    "differences",
    "read_listed",
    "read_seed_templates",
    "why_unsendable",
]

TTL_SECONDS = 43_200
"""The shortest that WhatsApp allows for marketing: no birthday greeting may arrive tomorrow."""
_BUTTON = "Parar promoções"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_APPROVED, _NAMED, _MARKETING = "APPROVED", "NAMED", "MARKETING"

# The example for each variable that a reviewer at WhatsApp sees.
_EXAMPLES = {
    "first_name": "Ana",
    "age": "30",
    "days_inactive": "45",
    "visit_count": "12",
    "voucher_code": "VOLTA10",
    "voucher_valid_until": "31/12/2026",
}
_OTHER_EXAMPLE = "10"


@dataclass(frozen=True, slots=True)
class SeedTemplate:
    """A row of seeds/message_templates.csv."""

    name: str
    language: str
    body: str

    @property
    def text(self) -> str:
        """Return the body as WhatsApp writes it: ``{{first_name}}``."""
        return _PLACEHOLDER.sub(r"{{\1}}", self.body)

    @property
    def variables(self) -> tuple[str, ...]:
        """Return the names of the variables, in the order of the text."""
        return tuple(dict.fromkeys(_PLACEHOLDER.findall(self.body)))


@dataclass(frozen=True, slots=True)
class Listed:
    """A template as WhatsApp lists it."""

    name: str
    language: str
    status: str
    category: str
    parameter_format: str
    text: str
    buttons: tuple[str, ...]
    ttl_seconds: int | None


def read_seed_templates(file: Path) -> dict[tuple[str, str], SeedTemplate]:
    """Return the seed's templates by name and language.

    Raises:
        ConfigurationError: The file cannot be read, or a column is missing.

    """
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            rows = [
                SeedTemplate(row["template_name"], row["language"], row["body"])
                for row in csv.DictReader(opened)
            ]
    except (OSError, KeyError) as error:
        msg = f"{file} cannot be read"
        raise ConfigurationError(msg, hint="docs/analysts-guide.md describes it") from error
    return {(row.name, row.language): row for row in rows}


def read_listed(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Listed]:
    """Return the templates of an account by name and language."""
    found = {}
    for row in rows:
        listed = _listed(row)
        found[listed.name, listed.language] = listed
    return found


def _listed(row: Mapping[str, Any]) -> Listed:
    components = [part for part in row.get("components") or [] if isinstance(part, dict)]
    bodies = [part for part in components if part.get("type") == "BODY"]
    ttl = row.get("message_send_ttl_seconds")
    return Listed(
        name=str(row.get("name")),
        language=str(row.get("language")),
        status=str(row.get("status")),
        category=str(row.get("category")),
        parameter_format=str(row.get("parameter_format")),
        text=str(bodies[0].get("text") or "") if bodies else "",
        buttons=tuple(
            str(button.get("text"))
            for part in components
            for button in part.get("buttons") or []
            if isinstance(button, dict)
        ),
        ttl_seconds=ttl if isinstance(ttl, int) else None,
    )


def why_unsendable(listed: Listed | None, seed: SeedTemplate | None) -> str:
    """Return why a template may not be sent; empty: it may.

    A template that is no longer in the seed may be sent as long as WhatsApp has it.
    """
    if listed is None:
        return "WhatsApp does not have it"
    if listed.status != _APPROVED:
        return f"it is {listed.status}"
    if listed.parameter_format != _NAMED and _VARIABLE.search(listed.text):
        return "its parameters are not NAMED"
    if seed is not None and _same(listed.text) != _same(seed.text):
        return "WhatsApp's text differs from the seed's"
    return ""


def differences(listed: Listed | None, seed: SeedTemplate) -> list[str]:
    """Return all differences between WhatsApp's template and the seed's."""
    unsendable = why_unsendable(listed, seed)
    found = [unsendable] if unsendable else []
    if listed is None:
        return found
    if listed.category != _MARKETING:
        found.append(f"its category is {listed.category}, not {_MARKETING}")
    if listed.ttl_seconds != TTL_SECONDS:
        found.append(f"its message_send_ttl_seconds is {listed.ttl_seconds}, not {TTL_SECONDS}")
    if _BUTTON not in listed.buttons:
        found.append(f"it has no button “{_BUTTON}”")
    return found


def creation(seed: SeedTemplate) -> dict[str, Any]:
    """Return the request that submits a template for review."""
    example = {
        "body_text_named_params": [
            {"param_name": name, "example": _EXAMPLES.get(name, _OTHER_EXAMPLE)}
            for name in seed.variables
        ]
    }
    body: dict[str, Any] = {"type": "BODY", "text": seed.text}
    if seed.variables:
        body["example"] = example
    return {
        "name": seed.name,
        "language": seed.language,
        "category": _MARKETING,
        "parameter_format": _NAMED,
        "message_send_ttl_seconds": TTL_SECONDS,
        "components": [
            body,
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": _BUTTON}]},
        ],
    }


def _same(text: str) -> str:
    """Return a text with invisible differences, such as spaces, removed."""
    return " ".join(_VARIABLE.sub(r"{{\1}}", text).split())
