"""One local stack for the whole run, and a Google Cloud project of its own for every test."""

from __future__ import annotations

import gc
import os
import secrets
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loader.base.errors import ConfigurationError
from loader.dbt.project import Project, find_project
from loader.dbt.runner import ParsedProject
from loader.local.servers import Server, end_server
from loader.local.stack import (
    FirestoreKind,
    local_stack,
    require_firestore_emulator,
    start_google,
)
from loader.services import Services
from tests.googlesql import Analysis, analyze_project
from tests.support import ALPHANUMERIC_CNPJ

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loader.base.environment import Environment
    from loader.local.stack import LocalStack

# A developer's own shell may point at real services or at other emulators.
for _name in (
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "FIRESTORE_EMULATOR_HOST",
    "BIGQUERY_EMULATOR_HOST",
    "BIGQUERY_STORAGE_EMULATOR_HOST",
    "VMHUB_ALERT_URLS",
    "VMHUB_PHONE_KEY",
    "WHATSAPP_API_URL",
    "WHATSAPP_TOKEN",
    "VMHUB_BIGQUERY_LOCATION",
    "DBT_PROFILES_DIR",
    "DBT_PROJECT_DIR",
    "DBT_TARGET",
):
    os.environ.pop(_name, None)


# A background process of a shell script ignores SIGINT, and its children inherit that. But the
# tests must be able to interrupt the processes that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# dbt's object trees are large and live long: with Python's default thresholds the garbage collector
# would scan them all the time.
gc.freeze()
gc.set_threshold(100_000, 20, 20)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--schedules",
        type=int,
        default=500,
        metavar="N",
        help="random interleavings of sync and a sender to play (default: 500)",
    )
    parser.addoption(
        "--requests",
        type=int,
        default=2000,
        metavar="N",
        help="random requests on which Google's Firestore and ours are compared (default: 2000)",
    )
    parser.addoption(
        "--firestore",
        type=FirestoreKind,
        choices=list(FirestoreKind),
        default=FirestoreKind.EMBEDDED,
        help="the Firestore of the stack on which the end-to-end tests run (default: embedded)",
    )


@pytest.fixture(scope="session")
def project() -> Project:
    return find_project()


@pytest.fixture(scope="session")
def stack(
    project: Project, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[LocalStack]:
    firestore = pytestconfig.getoption("firestore")
    folder = tmp_path_factory.mktemp("local stack")
    with local_stack(project, folder, firestore=firestore) as stack:
        # Google's own Firestore client, with which the tests read, finds the emulator here.
        os.environ["FIRESTORE_EMULATOR_HOST"] = stack.firestore_host
        yield stack
        del os.environ["FIRESTORE_EMULATOR_HOST"]


@pytest.fixture(scope="session")
def google_is_installed() -> None:
    """Skip the test where Google's emulator is not installed."""
    try:
        require_firestore_emulator()
    except ConfigurationError as error:
        # Continuous integration must not skip anything.
        if os.environ.get("VMHUB_TEST_SKIPS_NOTHING"):
            raise
        pytest.skip(error.message)


@pytest.fixture(scope="session")
def google_firestore(
    google_is_installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Google's own emulator, ``host:port``; where it is not installed, the test is skipped."""
    servers: list[Server] = []
    try:
        yield start_google(tmp_path_factory.mktemp("google"), None, servers, is_owned=True)
    finally:
        for server in servers:
            end_server(server)


@pytest.fixture
def environment(stack: LocalStack) -> Environment:
    """The stack's services, with a project that no other test uses."""
    return replace(stack.environment(), project=f"test-{secrets.token_hex(6)}")


@pytest.fixture(scope="session")
def parsed(project: Project, tmp_path_factory: pytest.TempPathFactory) -> ParsedProject:
    """dbt's parse of the project, which takes seconds."""
    return ParsedProject(project, tmp_path_factory.mktemp("parse"))


@pytest.fixture
def services(
    project: Project, environment: Environment, parsed: ParsedProject, tmp_path: Path
) -> Services:
    state_dir = tmp_path / "state"
    # Processes that a test starts use this session's parse, too.
    (state_dir / "dbt").mkdir(parents=True)
    (state_dir / "dbt" / "parse").symlink_to(parsed.folder)
    return Services(project, environment, state_dir, parsed)


@pytest.fixture(scope="session")
def analysis(
    parsed: ParsedProject, stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> Analysis:
    """The project as GoogleSQL sees it; it does not depend on any rows."""
    target_path = tmp_path_factory.mktemp("analysis")
    return analyze_project(parsed, stack.environment(), ALPHANUMERIC_CNPJ, target_path)
