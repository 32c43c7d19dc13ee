"""Phone numbers as WhatsApp reads and changes them."""

from __future__ import annotations

import re

from whatsapp.fake.errors import ApiError

__all__ = ["dialled", "same_person", "without_ninth_digit"]

_SEPARATORS = re.compile(r"[\s()-]")
_DIGITS = re.compile(r"\d{8,15}")
_BRAZIL = "55"
_MOBILE_LENGTH = 13  # 55, two digits of the area, nine of the number


def dialled(to: str) -> str:
    """Return the digits that the API dials.

    Without a plus sign the API adds the country code of the business's number in front, so an
    international number without a plus becomes wrong (WA/messages/send-messages).
    """
    plain = _SEPARATORS.sub("", to)
    digits = plain.removeprefix("+")
    if not _DIGITS.fullmatch(digits):
        raise ApiError(131009, "Parameter value is not valid: to")
    return digits if plain.startswith("+") else _BRAZIL + digits


def without_ninth_digit(digits: str) -> str:
    """Return a Brazilian mobile number in its old form, as the API may give it."""
    if len(digits) == _MOBILE_LENGTH and digits.startswith(_BRAZIL) and digits[4] == "9":
        return digits[:4] + digits[5:]
    return digits


def same_person(digits: str) -> str:
    """Return a key that is the same for both forms of a number."""
    return without_ninth_digit(digits)
