"""The suppressions of people who were erased: they name the person by pseudonyms.

``users/{cnpj}/suppressions/{pseudonym}`` is one pseudonym of a person: of the customer's id, the
cpf or a phone. ``users/{cnpj}/suppressions/erasures`` has the key that makes them. So whoever has
a target's id and phone can tell that it is an erased person's, and nobody can read the person out
of the documents without that key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loader.base.persons import person_keys
from loader.base.pseudonyms import pseudonym

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ERASURES",
    "PSEUDONYM_KEY",
    "key_among",
    "mark_keys",
    "persons_of",
    "pseudonymous_keys",
]

ERASURES = "erasures"
"""The id of the document with the key, and one of the ``keys`` by which it is found."""
PSEUDONYM_KEY = "pseudonym-key:"
"""Begins another of its ``keys``, which ends with the key of the pseudonyms."""
_PERSON = "erasure:"


def key_among(keys: Iterable[str]) -> str | None:
    """Return the key of the pseudonyms, if the keys of `ERASURES` are among these."""
    found = (key.removeprefix(PSEUDONYM_KEY) for key in keys if key.startswith(PSEUDONYM_KEY))
    return next(found, None)


def pseudonymous_keys(
    key: str, *, phone: str | None = None, customer_id: str | None = None
) -> list[str]:
    """Return the keys by which the suppressions of an erasure name a person.

    Args:
        key: The key of the pseudonyms.
        phone: In E.164.
        customer_id: The laundromat's own id of the customer.

    """
    return [
        found
        for identifier in (phone, customer_id)
        if identifier
        for found in person_keys(customer_id=pseudonym(key, identifier))
    ]


def mark_keys(mark: str, person: str) -> list[str]:
    """Return the ``keys`` of one suppression of an erasure.

    Args:
        mark: The pseudonym that it is about.
        person: The pseudonym of the customer's id, which all suppressions of the person share.

    """
    return [*person_keys(customer_id=mark), f"{_PERSON}{person}"]


def persons_of(keys: Iterable[str]) -> set[str]:
    """Return the keys that all suppressions of one person's erasure share."""
    return {key for key in keys if key.startswith(_PERSON)}
