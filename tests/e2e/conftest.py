"""The sample laundromats, built and synced once for tests that only read them."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loader.local.sample import SAMPLE_AS_OF, load_sample, sample_laundromats
from loader.services import Services
from loader.sync.run import SyncOptions
from tests.plain_dbt import PlainDbt, plain_dbt_process
from tests.support import ALPHANUMERIC_CNPJ, FIRST_BUILD, NUMERIC_CNPJ, make_laundromat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.dbt.project import Project
    from loader.dbt.runner import ParsedProject
    from loader.local.stack import LocalStack


@pytest.fixture(scope="session")
def sample_session(
    project: Project,
    stack: LocalStack,
    parsed: ParsedProject,
    tmp_path_factory: pytest.TempPathFactory,
) -> Services:
    """A project with the three sample laundromats as of SAMPLE_AS_OF; not to be changed."""
    environment = replace(stack.environment(), project=f"sample-{secrets.token_hex(6)}")
    services = Services(project, environment, tmp_path_factory.mktemp("sample"), parsed)
    for laundromat in sample_laundromats(project):
        load_sample(
            project,
            services.warehouse,
            services.registry,
            laundromat,
            services.new_audit_log("test"),
        )
        services.build(
            services.laundromat(laundromat.cnpj), as_of=SAMPLE_AS_OF, arguments=FIRST_BUILD
        )
        services.sync(
            services.laundromat(laundromat.cnpj), as_of=SAMPLE_AS_OF, options=SyncOptions()
        )
    return services


@pytest.fixture(scope="session")
def plain_dbt() -> Iterator[PlainDbt]:
    """dbt without `vmhub`; tests that need it share one process."""
    with plain_dbt_process() as process:
        yield process


@pytest.fixture
def laundromats(services: Services) -> Services:
    """Two laundromats with histories, but without a build."""
    for cnpj in (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ):
        make_laundromat(services, cnpj)
    return services
