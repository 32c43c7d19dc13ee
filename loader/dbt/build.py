"""Building one laundromat's tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError, ExitCode, RunError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse
    from loader.dbt.project import Project
    from loader.dbt.runner import Dbt
    from loader.dbt.spec import BuildSpec

__all__ = ["BuildError", "BuildReport", "FailedNode", "build", "check_sources"]


# BigQuery messages about tables, names, permissions and limits; they never quote a row.
_QUOTES_NO_ROW = re.compile(
    r"(Not found|Access Denied|Unrecognized name|Syntax error|Name \S+ not found"
    r"|No matching signature|Query exceeded|Exceeded rate limits|Quota exceeded"
    r"|Resources exceeded|Operation timed out|Refused before it was sent)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class FailedNode:
    """A dbt node that did not succeed, with the first line of the reason."""

    name: str
    status: str
    message: str


@dataclass(frozen=True)
class BuildReport:
    """What dbt did, by status; a warning is a node that needs a look but has not failed."""

    cnpj: Cnpj
    as_of: datetime
    nodes: dict[str, int]
    warnings: tuple[FailedNode, ...]
    queries: int
    bytes_billed: int
    not_recorded: str = ""
    """Why this run is missing in VMHUB_OPS; empty when it is recorded."""

    @property
    def exit_code(self) -> int:
        """Return the exit code of the process."""
        return ExitCode.PARTLY_FAILED if self.not_recorded else ExitCode.OK


class BuildError(RunError):
    """A model or a test failed; what depends on it was not rebuilt."""


def check_sources(project: Project, warehouse: Warehouse, cnpj: Cnpj) -> None:
    """Compare every source table with its declaration before anything is built.

    Raises:
        ConfigurationError: Tables or columns are missing or have the wrong type; names all of them.

    """
    problems = [
        problem
        for table in project.source_tables()
        if not table.is_shared
        for problem in warehouse.schema_problems(table, cnpj)
    ]
    if problems:
        message = "; ".join(problems)
        raise ConfigurationError(
            message,
            hint=f"models/sources/ declares what is needed; {cnpj}_RAW is the point-of-sale "
            f"export's to fix, {cnpj}_CAMPAIGN is fixed by `vmhub onboard`",
        )


def build(
    dbt: Dbt,
    project: Project,
    warehouse: Warehouse,
    spec: BuildSpec,
    *,
    arguments: Sequence[str] = (),
) -> BuildReport:
    """Build a laundromat's tables with `dbt build`, unit tests left out.

    Args:
        dbt: Runs the build.
        project: Declares the source tables.
        warehouse: Holds the source tables, which are checked first.
        spec: What to build.
        arguments: More arguments for `dbt build`, such as ``--selector hourly``.

    Raises:
        ConfigurationError: A source table is not as declared.
        BuildError: A model or a test failed; campaign_targets is as it was before.

    """
    check_sources(project, warehouse, spec.cnpj)
    results = dbt.run(spec, ["build", "--exclude-resource-type", "unit_test", *arguments])
    nodes: dict[str, int] = {}
    failed, warnings = [], []
    for result in results:
        status = str(result.status)
        nodes[status] = nodes.get(status, 0) + 1
        node = FailedNode(result.node.name, status, _counts_in_words(str(result.message or "")))
        if status in ("error", "fail", "runtime error"):
            failed.append(node)
        elif status == "warn":
            warnings.append(node)
    if failed:
        named = "; ".join(f"{node.name}: {node.message}" for node in failed)
        message = f"dbt build of {spec.cnpj}: {named}"
        raise BuildError(
            message,
            hint=f"{spec.table('campaign_targets')} stays as it was; "
            f"the SQL that ran is under {dbt.target_path(spec)}",
        )
    jobs = [result.adapter_response for result in results if result.adapter_response]
    return BuildReport(
        spec.cnpj,
        spec.as_of,
        nodes,
        tuple(warnings),
        queries=len(jobs),
        bytes_billed=sum(job.get("bytes_billed") or 0 for job in jobs),
    )


def _counts_in_words(message: str) -> str:
    """Return dbt's message about a node as one line, without text that may quote a row."""
    lines = [line.strip() for line in message.strip().splitlines()] or ["no message"]
    if len(lines) > 1 and not _QUOTES_NO_ROW.match(lines[1]):
        return f"{lines[0]}; BigQuery's own message, which may quote a row, is in its list of jobs"
    return " ".join(lines[:3])
