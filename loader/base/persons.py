"""One person with several forms of a number, and the keys that name them in a suppression."""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["person_keys", "phone_key", "same_person", "with_ninth_digit"]

_BRAZIL = "55"
_WITH_NINTH, _NINTH_AT = 13, 4


def same_person(phone: str) -> str:
    """Return a number's digits, without the ninth digit of a Brazilian mobile.

    WhatsApp uses both forms of such a number.

    Args:
        phone: With its country code; with or without ``+``.

    """
    digits = phone.removeprefix("+")
    is_mobile = digits.startswith(_BRAZIL) and len(digits) == _WITH_NINTH
    if is_mobile and digits[_NINTH_AT] == "9":
        return digits[:_NINTH_AT] + digits[_NINTH_AT + 1 :]
    return digits


def with_ninth_digit(digits: str) -> str:
    """Return a Brazilian mobile's digits with the ninth digit; other numbers stay as they are."""
    is_old = digits.startswith(_BRAZIL) and len(digits) == _WITH_NINTH - 1
    if is_old and digits[_NINTH_AT] in "6789":
        return f"{digits[:_NINTH_AT]}9{digits[_NINTH_AT:]}"
    return digits


def phone_key(secret: bytes, phone: str) -> str:
    """Return a keyed hash of a person's number, the same for both of its forms."""
    return hmac.new(secret, same_person(phone).encode(), hashlib.sha256).hexdigest()[:32]


def person_keys(
    *, phone: str | None = None, customer_id: str | None = None, user_id: str | None = None
) -> list[str]:
    """Return a person's keys in ``users/{cnpj}/suppressions/{id}.keys``.

    Args:
        phone: In E.164, or its digits.
        customer_id: The laundromat's own id of the customer.
        user_id: WhatsApp's id of a person who hides the number.

    """
    keys = []
    if phone:
        keys.append(f"phone:{same_person(phone)}")
    if customer_id:
        keys.append(f"customer:{customer_id}")
    if user_id:
        keys.append(f"user:{user_id}")
    return keys
