"""Names for people that only their laundromat's key can lead back to.

Records that outlive a person's data, and the audit log, name people by them. The same person has
the same pseudonym as long as the laundromat's key lives, so figures still count people once.
"""

from __future__ import annotations

import hashlib

__all__ = ["PSEUDONYM_PREFIX", "cpf_pseudonym", "is_pseudonym", "pseudonym"]

PSEUDONYM_PREFIX = "person-"
"""How every pseudonym begins."""
_LENGTH = 32


def pseudonym(key: str, identifier: str) -> str:
    """Return the pseudonym of a customer id or a phone: the prefix and 32 hexadecimal digits.

    In SQL: ``concat('person-', left(to_hex(sha256(concat(key, '|', identifier))), 32))``.

    Args:
        key: The laundromat's key; see `loader.bigquery.secret_keys`.
        identifier: A customer's id, or a phone as E.164.

    """
    digest = hashlib.sha256(f"{key}|{identifier}".encode()).hexdigest()
    return f"{PSEUDONYM_PREFIX}{digest[:_LENGTH]}"


def cpf_pseudonym(key: str, cpf: str) -> str:
    """Return the pseudonym of a cpf of 11 digits, which alone could be another customer's id."""
    return pseudonym(key, f"cpf:{cpf}")


def is_pseudonym(identifier: str) -> bool:
    """Return whether a customer's id is a pseudonym."""
    return identifier.startswith(PSEUDONYM_PREFIX)
