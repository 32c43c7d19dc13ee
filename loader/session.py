"""What a command works with: the project, the services, and the laundromat it is about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from loader.build import BuildReport, build
from loader.environment import Environment
from loader.explain import Explanation, explain
from loader.firestore.client import Database, connect
from loader.firestore.registry import Registry
from loader.firestore.targets import TargetStore
from loader.project import Project, find_project
from loader.settings import campaign_types, effective_settings
from loader.sync import SyncOptions, SyncReport, sync
from loader.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from loader.cnpj import Cnpj

__all__ = ["Session", "state_dir"]


@dataclass(frozen=True)
class Session:
    """One process's connections, made when first needed."""

    project: Project
    environment: Environment
    state_dir: Path
    """Where dbt keeps its files, apart per laundromat."""

    @classmethod
    def open(cls) -> Session:
        """Return a session for this folder's project and this environment's services."""
        project = find_project()
        return cls(project, Environment.from_variables(), state_dir(project))

    @cached_property
    def warehouse(self) -> Warehouse:
        """BigQuery."""
        return Warehouse(self.environment)

    @cached_property
    def database(self) -> Database:
        """Firestore."""
        return connect(self.environment)

    @cached_property
    def registry(self) -> Registry:
        """Who is served."""
        return Registry(self.database)

    def build(self, cnpj: Cnpj, *, as_of: datetime, arguments: Sequence[str] = ()) -> BuildReport:
        """Build a registered laundromat's tables; see `loader.build.build`."""
        settings = effective_settings(self.project, self.registry.tenant(cnpj))
        return build(
            self.project,
            self.environment,
            self.warehouse,
            settings=settings,
            as_of=as_of,
            arguments=arguments,
            state_dir=self.state_dir,
        )

    def sync(self, cnpj: Cnpj, *, as_of: datetime, options: SyncOptions) -> SyncReport:
        """Sync a registered laundromat's targets; see `loader.sync.sync`."""
        tenant = self.registry.tenant(cnpj)
        settings = effective_settings(self.project, tenant)
        return sync(
            self.warehouse,
            TargetStore(self.database, cnpj),
            cnpj=cnpj,
            as_of=as_of,
            campaign_types={*tenant.campaign_types, *campaign_types(self.project)},
            max_attempts=settings["max_attempts"],
            options=options,
        )

    def explain(self, cnpj: Cnpj, customer_id: str) -> Explanation:
        """Explain a registered laundromat's customer; see `loader.explain.explain`."""
        tenant = self.registry.tenant(cnpj)
        return explain(
            self.warehouse,
            TargetStore(self.database, cnpj),
            cnpj=cnpj,
            customer_id=customer_id,
            campaign_types={*tenant.campaign_types, *campaign_types(self.project)},
        )


def state_dir(project: Project) -> Path:
    """Return the folder for what commands leave behind: dbt's files and local stacks."""
    return Path(project.root) / ".vmhub"
