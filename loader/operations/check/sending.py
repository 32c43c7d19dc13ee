"""Checks that a laundromat that sends with `vmhub send` has all templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from loader.base.errors import ConfigurationError
from loader.operations.check.checklist import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loader.base.cnpj import Cnpj
    from loader.operations.check.checklist import Check, Checklist

__all__ = ["ComparedText", "check_templates"]

_WHATSAPP = "WhatsApp"
_FIX = "`vmhub templates push` submits what is missing; a changed text needs a new name"


class ComparedText(Protocol):
    """One template of the seed, compared with the laundromat's account."""

    @property
    def name(self) -> str:
        """Return its name."""

    @property
    def language(self) -> str:
        """Return its language, such as pt_BR."""

    @property
    def differences(self) -> tuple[str, ...]:
        """Return all differences between WhatsApp's template and the seed's."""

    @property
    def is_sendable(self) -> bool:
        """Return whether messages can be sent with it in spite of the differences."""


def check_templates(
    checklist: Checklist,
    cnpj: Cnpj,
    compare: Callable[[Cnpj], Sequence[ComparedText] | None],
    needs: Sequence[Check],
) -> None:
    """Compare the texts of the seed with WhatsApp's templates.

    Args:
        checklist: Takes a line for the account, and one for each template that differs.
        cnpj: The laundromat.
        compare: Compares each template; returns None if another program sends.
        needs: Checks that must have passed.

    """
    compared: list[ComparedText] = []

    def account() -> Finding:
        found = compare(cnpj)
        if found is None:
            return Finding("`vmhub send` does not send for it")
        compared.extend(found)
        good = sum(not text.differences for text in found)
        return Finding(f"{good} of {len(found)} templates do not differ from the seed")

    place = f"users/{cnpj}"
    checklist.add("templates", place, account, service=_WHATSAPP, needs=needs)
    for text in compared:
        if text.differences:

            def finding(text: ComparedText = text) -> Finding:
                message = "; ".join(text.differences)
                if not text.is_sendable:
                    raise ConfigurationError(message, hint=_FIX)
                return Finding(message, _FIX)

            about = f"{text.name} {text.language}"
            checklist.add("template", about, finding, service=_WHATSAPP)
