"""The keys by which a suppression names a person, whatever form the number has."""

from __future__ import annotations

__all__ = ["person_keys", "same_person"]

_BRAZIL = "55"
_WITH_NINTH, _NINTH_AT = 13, 4


def same_person(phone: str) -> str:
    """Return a number's digits, of a Brazilian mobile without the ninth: WhatsApp uses both forms.

    Args:
        phone: With its country code; with or without ``+``.

    """
    digits = phone.removeprefix("+")
    is_mobile = digits.startswith(_BRAZIL) and len(digits) == _WITH_NINTH
    if is_mobile and digits[_NINTH_AT] == "9":
        return digits[:_NINTH_AT] + digits[_NINTH_AT + 1 :]
    return digits


def person_keys(
    *, phone: str | None = None, customer_id: str | None = None, user_id: str | None = None
) -> list[str]:
    """Return a person's keys in ``users/{cnpj}/suppressions/{id}.keys``.

    Args:
        phone: In E.164.
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
