"""People who opted out, as sync knows them: they get no document and keep none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from loader.base.erasures import key_among, pseudonymous_keys
from loader.base.persons import person_keys

if TYPE_CHECKING:
    from loader.sync.model import Target, TargetDocument

__all__ = ["Suppressed"]


@dataclass(frozen=True)
class Suppressed:
    """The people named by current suppressions."""

    keys: frozenset[str]
    """The keys that `loader.base.persons` and `loader.base.erasures` make."""

    @cached_property
    def _pseudonym_key(self) -> str | None:
        return key_among(self.keys)

    def names(self, person: Target | TargetDocument) -> bool:
        """Return whether a suppression names the customer, or either form of the phone.

        The suppressions of an erasure name the pseudonym of one of them.
        """
        if not self.keys:
            return False
        keys = person_keys(phone=person.phone, customer_id=person.customer_id)
        if self._pseudonym_key is not None:
            keys += pseudonymous_keys(
                self._pseudonym_key, phone=person.phone, customer_id=person.customer_id
            )
        return not self.keys.isdisjoint(keys)
