"""Whoever has opted out, as a run of sync knows it: no document for them is made or left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.base.persons import person_keys

if TYPE_CHECKING:
    from loader.sync.model import Target, TargetDocument

__all__ = ["Suppressed"]


@dataclass(frozen=True)
class Suppressed:
    """The people named by suppressions that hold."""

    keys: frozenset[str]
    """As `loader.base.persons.person_keys` makes them."""

    def names(self, person: Target | TargetDocument) -> bool:
        """Return whether a suppression names the customer, or the phone in either form."""
        if not self.keys:
            return False
        keys = person_keys(phone=person.phone, customer_id=person.customer_id)
        return not self.keys.isdisjoint(keys)
