"""A laundromat with its settings: resolved once per command or hour, the same for every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loader.dbt.settings import effective_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loader.base.cnpj import Cnpj
    from loader.dbt.project import Project
    from loader.firestore.registry import RegistryEntry

__all__ = ["Laundromat", "resolve"]


@dataclass(frozen=True)
class Laundromat:
    """A registered laundromat with its effective settings."""

    entry: RegistryEntry
    """The registry entry at the time it was resolved."""
    settings: dict[str, Any]
    """The dbt vars of its builds, without ``as_of``, but with ``cnpj`` and ``timezone``."""

    @property
    def cnpj(self) -> Cnpj:
        """Return the CNPJ."""
        return self.entry.cnpj

    @property
    def campaign_types(self) -> frozenset[str]:
        """Return the campaigns that may have documents: the project's and the registry's."""
        return self.entry.campaign_types


def resolve(
    project: Project, entry: RegistryEntry, changes: Mapping[str, Any] | None = None
) -> Laundromat:
    """Return a laundromat with its settings.

    Args:
        project: Has the defaults.
        entry: Has the laundromat's own values.
        changes: Values from the command line, which win.

    Raises:
        ConfigurationError: A setting is unknown or has a value that it does not take.

    """
    return Laundromat(entry, effective_settings(project, entry, changes))
