"""Running dbt for one laundromat, in this process."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loader.errors import ConfigurationError, RunError, VmhubError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from loader.cnpj import Cnpj
    from loader.environment import Environment
    from loader.project import Project
    from loader.warehouse import Warehouse

__all__ = ["BuildError", "BuildReport", "FailedNode", "build", "check_sources", "run_dbt"]


@dataclass(frozen=True)
class FailedNode:
    """A dbt node that did not succeed, and the first line of why."""

    name: str
    status: str
    message: str


@dataclass(frozen=True)
class BuildReport:
    """What dbt did, by status; warnings are nodes too, worth a look but no failure."""

    cnpj: Cnpj
    as_of: datetime
    nodes: dict[str, int]
    warnings: tuple[FailedNode, ...]


class BuildError(RunError):
    """A model or a test failed; what depends on it was not rebuilt."""


def check_sources(project: Project, warehouse: Warehouse, cnpj: Cnpj) -> None:
    """Compare every source table with its declaration before anything is built.

    Raises:
        ConfigurationError: Tables or columns are missing, or have another type; all are named.

    """
    problems = [
        problem
        for table in project.source_tables()
        for problem in warehouse.schema_problems(table, cnpj)
    ]
    if problems:
        message = "; ".join(problems)
        raise ConfigurationError(
            message,
            hint=f"models/sources/ declares what is needed; {cnpj}_RAW is the point-of-sale "
            f"export's to mend, {cnpj}_CAMPAIGN is mended by `vmhub onboard`",
        )


def build(
    project: Project,
    environment: Environment,
    warehouse: Warehouse,
    *,
    settings: dict[str, Any],
    as_of: datetime,
    arguments: Sequence[str] = (),
    state_dir: Path,
) -> BuildReport:
    """Build a laundromat's tables with `dbt build`, unit tests left out.

    Args:
        project: The dbt project.
        environment: Where the warehouse is, for dbt's profile.
        warehouse: The same, to check the sources beforehand.
        settings: dbt vars, with ``cnpj``; from `loader.settings`.
        as_of: The run's instant.
        arguments: More arguments for `dbt build`, such as ``--selector hourly``.
        state_dir: Where dbt keeps its files, apart per laundromat.

    Raises:
        ConfigurationError: A source table is not as declared.
        BuildError: A model or a test failed; campaign_targets is as it was before.

    """
    cnpj: Cnpj = settings["cnpj"]
    check_sources(project, warehouse, cnpj)
    variables = {**settings, "as_of": as_of.isoformat()}
    # A target path of its own: dbt would parse anew whenever another laundromat came in between.
    target_path = state_dir / "dbt" / cnpj
    results = run_dbt(
        project,
        environment,
        ["build", "--exclude-resource-type", "unit_test", "--vars", json.dumps(variables)],
        *arguments,
        target_path=target_path,
    )
    nodes: dict[str, int] = {}
    failed, warnings = [], []
    for result in results:
        status = str(result.status)
        nodes[status] = nodes.get(status, 0) + 1
        lines = (str(result.message) if result.message else "no message").strip().splitlines()
        node = FailedNode(result.node.name, status, " ".join(line.strip() for line in lines[:3]))
        if status in ("error", "fail", "runtime error"):
            failed.append(node)
        elif status == "warn":
            warnings.append(node)
    if failed:
        named = "; ".join(f"{node.name}: {node.message}" for node in failed)
        message = f"dbt build of {cnpj}: {named}"
        raise BuildError(
            message,
            hint=f"campaign_targets stays as it was; the SQL that ran is under {target_path}",
        )
    return BuildReport(cnpj, as_of, nodes, tuple(warnings))


def run_dbt(
    project: Project,
    environment: Environment,
    command: Sequence[str],
    *arguments: str,
    target_path: Path,
) -> list[Any]:
    """Run a dbt command and return its node results.

    Raises:
        VmhubError: dbt could not start: no profile, no connection, SQL that does not compile.

    """
    # Imported here: dbt takes seconds to import and most commands do without it.
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    with _variables(environment.variables()):
        result = dbtRunner().invoke(
            [
                *command,
                *arguments,
                "--project-dir",
                str(project.root),
                "--target-path",
                str(target_path),
                "--log-path",
                str(target_path / "logs"),
                "--log-level",
                "none",
                "--no-use-colors",
                "--no-send-anonymous-usage-stats",
            ]
        )
    if result.exception is not None:
        text = " ".join(str(result.exception).split())
        message = f"dbt {command[0]}: {text}"
        raise VmhubError(message, hint=f"dbt's log is in {target_path / 'logs'}") from (
            result.exception
        )
    return list(getattr(result.result, "results", None) or [])


@contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the block: dbt's profile reads nothing else."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
