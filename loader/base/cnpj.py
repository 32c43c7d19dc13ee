"""The CNPJ, which names a laundromat everywhere.

Since July 2026 a CNPJ may hold letters (IN RFB 2.229/2024): twelve digits or capital letters and
two check digits. The check digits of both forms follow from each character's ASCII code less 48,
weights 2 to 9 from the right, modulo 11.
"""

from __future__ import annotations

import re
from typing import NewType

from loader.base.errors import ConfigurationError

__all__ = ["Cnpj", "looks_like_cnpj", "parse_cnpj", "with_check_digits"]

Cnpj = NewType("Cnpj", str)

_FORM = re.compile(r"[0-9A-Z]{12}[0-9]{2}")
_PUNCTUATION = re.compile(r"[./\-\s]")


def parse_cnpj(text: str) -> Cnpj:
    """Return the CNPJ without punctuation and in upper case.

    Args:
        text: As people write it: ``11.222.333/0001-81``, ``12abc34501de35``.

    Raises:
        ConfigurationError: The form or the check digits are wrong.

    """
    cnpj = _PUNCTUATION.sub("", text).upper()
    # upper() would turn some non-ASCII letters into ASCII; such input is not a typing habit.
    if not text.isascii() or not _FORM.fullmatch(cnpj):
        message = f"'{text}' is not a CNPJ"
        raise ConfigurationError(
            message, hint="write 14 characters: 12 digits or letters and two check digits"
        )
    if cnpj == cnpj[0] * 14:
        message = f"'{text}' is a placeholder, not a CNPJ"
        raise ConfigurationError(message, hint="use the laundromat's own CNPJ")
    expected = with_check_digits(cnpj[:12])
    if cnpj != expected:
        message = f"CNPJ '{text}' has wrong check digits"
        raise ConfigurationError(
            message, hint=f"{cnpj[:12]} would end in {expected[12:]}; look for a typing error"
        )
    return expected


def looks_like_cnpj(text: str) -> bool:
    """Return whether a text has the form of a CNPJ, in any spelling and with any check digits."""
    return text.isascii() and bool(_FORM.fullmatch(_PUNCTUATION.sub("", text).upper()))


def with_check_digits(body: str) -> Cnpj:
    """Return the CNPJ of these twelve digits or capital letters."""
    first = body + _check_digit(body)
    return Cnpj(first + _check_digit(first))


def _check_digit(body: str) -> str:
    total = sum(
        (ord(character) - 48) * (2 + position % 8)
        for position, character in enumerate(reversed(body))
    )
    remainder = total % 11
    return str(0 if remainder < 2 else 11 - remainder)  # noqa: PLR2004 - the rule's own number
