"""One person behind several spellings of a number, and a key that does not tell the number."""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["phone_key", "same_person", "with_ninth_digit"]

_BRAZIL = "55"
_WITH_NINTH, _NINTH_AT = 13, 4


def same_person(phone: str) -> str:
    """Return a number's digits, of a Brazilian mobile without the ninth: WhatsApp uses both forms.

    Args:
        phone: With or without ``+``.

    """
    digits = phone.removeprefix("+")
    is_mobile = digits.startswith(_BRAZIL) and len(digits) == _WITH_NINTH
    if is_mobile and digits[_NINTH_AT] == "9":
        return digits[:_NINTH_AT] + digits[_NINTH_AT + 1 :]
    return digits


def with_ninth_digit(digits: str) -> str:
    """Return a Brazilian mobile's digits as they are dialled today, any other number as it is."""
    is_old = digits.startswith(_BRAZIL) and len(digits) == _WITH_NINTH - 1
    if is_old and digits[_NINTH_AT] in "6789":
        return f"{digits[:_NINTH_AT]}9{digits[_NINTH_AT:]}"
    return digits


def phone_key(secret: bytes, phone: str) -> str:
    """Return a keyed hash of a person's number, the same for both of its forms."""
    return hmac.new(secret, same_person(phone).encode(), hashlib.sha256).hexdigest()[:32]
