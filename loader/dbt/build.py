"""Building one laundromat's tables."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loader.base.errors import ConfigurationError, ExitCode, RunError
from loader.bigquery.secret_keys import ensure_keys
from loader.dbt.complaint import Complaint
from loader.dbt.locate import SentStatements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse
    from loader.dbt.project import Project
    from loader.dbt.runner import Dbt
    from loader.dbt.spec import BuildSpec

__all__ = ["BuildError", "BuildReport", "NodeWarning", "build", "check_sources"]


# dbt's statuses of nodes that failed; nodes with other statuses were skipped, or only warn.
_FAILED = ("error", "fail", "runtime error")

# BigQuery messages about tables, names, permissions and limits; they never quote a row.
_QUOTES_NO_ROW = re.compile(
    r"(Not found|Access Denied|Unrecognized name|Syntax error|Name \S+ not found"
    r"|No matching signature|Query exceeded|Exceeded rate limits|Quota exceeded"
    r"|Resources exceeded|Operation timed out|Refused before it was sent)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class NodeWarning:
    """A dbt test that warns, and how many rows it found."""

    name: str
    message: str


@dataclass(frozen=True)
class BuildReport:
    """What dbt did, by status; a warning is a node that needs a look but has not failed."""

    cnpj: Cnpj
    as_of: datetime
    nodes: dict[str, int]
    warnings: tuple[NodeWarning, ...]
    queries: int
    bytes_billed: int
    not_recorded: str = ""
    """Why this run is missing in VMHUB_OPS; empty when it is recorded."""

    @property
    def exit_code(self) -> int:
        """Return the exit code of the process."""
        return ExitCode.PARTLY_FAILED if self.not_recorded else ExitCode.OK


class BuildError(RunError):
    """A model or a test failed; what depends on it was not rebuilt.

    Its message is safe to record: text that can quote a row is left out.
    """

    def __init__(self, message: str, *, hint: str, in_full: str) -> None:
        """Keep two texts: one for the person who builds, and one to record."""
        super().__init__(message, hint=hint)
        self.in_full = in_full
        """Everything that dbt and BigQuery said. It can quote a row: never log or record it."""


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
    keeps_log: bool = False,
) -> BuildReport:
    """Build a laundromat's tables with `dbt build`, unit tests left out.

    Args:
        dbt: Runs the build.
        project: Declares the source tables.
        warehouse: Holds the source tables, which are checked first.
        spec: What to build.
        arguments: More arguments for `dbt build`, such as ``--selector hourly``.
        keeps_log: Whether dbt writes its log, for the person who builds.

    Raises:
        ConfigurationError: A source table is not as declared.
        BuildError: A model or a test failed; campaign_targets is as it was before.

    """
    check_sources(project, warehouse, spec.cnpj)
    # A laundromat that was onboarded by an older version lacks keys.
    ensure_keys(warehouse, spec.cnpj)
    statements = SentStatements()
    results = dbt.run(
        spec,
        ["build", "--exclude-resource-type", "unit_test", *arguments],
        keeps_log=keeps_log,
        on_event=statements,
    )
    nodes = Counter(str(result.status) for result in results)
    failed = [result for result in results if str(result.status) in _FAILED]
    if failed:
        raise _build_error(dbt, project, spec, failed, statements, keeps_log=keeps_log)
    jobs = [result.adapter_response for result in results if result.adapter_response]
    return BuildReport(
        spec.cnpj,
        spec.as_of,
        dict(nodes),
        tuple(
            NodeWarning(result.node.name, _recorded_text(result, Complaint.of(result.message)))
            for result in results
            if str(result.status) == "warn"
        ),
        queries=len(jobs),
        bytes_billed=sum(job.get("bytes_billed") or 0 for job in jobs),
    )


def _build_error(
    dbt: Dbt,
    project: Project,
    spec: BuildSpec,
    failed: Sequence[Any],
    statements: SentStatements,
    *,
    keeps_log: bool,
) -> BuildError:
    sources = dbt.sources()
    recorded, shown = [], []
    for result in failed:
        node = result.node
        complaint = Complaint.of(str(result.message or ""))
        place = sources.find(complaint, node, statements.of(node))
        what = f"{place}: {complaint.without_position}"
        recorded.append(f"{node.name}: {place}: {_recorded_text(result, complaint)}")
        details = [f"> {place.text.strip()}"] if place and place.text else []
        if str(result.status) == "error":
            details.append(f"{node.resource_type} {node.name} failed")
        else:
            details.append(f"see the rows: {_dbt_show(project, spec, node.name)}")
        shown.append("\n    ".join([*what.splitlines(), *details]))
    kept = f"{spec.table('campaign_targets')} stays as it was"
    sql = f"the SQL that ran is under {dbt.target_path(spec)}"
    log = [f"dbt's log is {dbt.log_path(spec)}"] if keeps_log else []
    return BuildError(
        f"dbt build of {spec.cnpj}: {'; '.join(recorded)}",
        hint=f"{kept}; {sql}",
        in_full="\n  ".join(
            [f"dbt build of {spec.cnpj} failed", *shown, "; ".join([kept, sql, *log])]
        ),
    )


def _dbt_show(project: Project, spec: BuildSpec, test: str) -> str:
    """Return the command that shows the rows a test found, with the laundromat's own settings."""
    defaults = project.variables()
    changed = {
        name: value
        for name, value in spec.variables.items()
        if name not in defaults or value != defaults[name]
    }
    # Not as dbt's table, which cuts long values.
    options = ["--output", "json", "--limit", "50", "--vars", json.dumps(changed)]
    return shlex.join(["dbt", "show", "--select", test, *options])


def _recorded_text(result: Any, complaint: Complaint) -> str:
    """Return a node's message in one line, without text that may quote a row."""
    first, *more = complaint.without_position.splitlines()
    # For a test, dbt's message only has the number of rows found.
    is_count = str(result.status) in ("fail", "warn") and not more
    if is_count or _QUOTES_NO_ROW.match(first):
        return first
    return "the message, which may quote a row, is left out; `vmhub build` by hand shows it"
