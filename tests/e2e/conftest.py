"""The sample laundromats, built and synced once for the tests that only look at them."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loader.demo.sample import SAMPLE_AS_OF, load_sample, sample_laundromats
from loader.session import Session
from loader.sync import SyncOptions

if TYPE_CHECKING:
    from loader.dbt import ParsedProject
    from loader.local.stack import LocalStack
    from loader.project import Project


@pytest.fixture(scope="session")
def sample_session(
    project: Project,
    stack: LocalStack,
    parsed: ParsedProject,
    tmp_path_factory: pytest.TempPathFactory,
) -> Session:
    """A project with the three sample laundromats as of SAMPLE_AS_OF; not to be changed."""
    environment = replace(stack.environment(), project=f"sample-{secrets.token_hex(6)}")
    session = Session(project, environment, tmp_path_factory.mktemp("sample"), parsed)
    for laundromat in sample_laundromats(project):
        load_sample(project, session.warehouse, session.registry, laundromat)
        session.build(laundromat.cnpj, as_of=SAMPLE_AS_OF)
        session.sync(laundromat.cnpj, as_of=SAMPLE_AS_OF, options=SyncOptions())
    return session
