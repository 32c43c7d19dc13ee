"""Runs dbt commands in this process."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from loader.base.cnpj import parse_cnpj
from loader.base.errors import ConfigurationError, RunError, VmhubError
from loader.dbt.boundary import REFUSED, Boundary, bounded
from loader.dbt.complaint import Complaint
from loader.dbt.locate import Sources
from loader.dbt.manifest import check_no_literals, manifest_for, ops_readers
from loader.dbt.patches import apply_patches
from loader.dbt.setting_rules import holds_braces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from loader.base.environment import Environment
    from loader.dbt.project import Project
    from loader.dbt.spec import BuildSpec

__all__ = ["Dbt", "ParsedProject"]


# Stand in for the Google Cloud project and the emulator while dbt parses, so that the saved parse
# serves all of them. Each build puts its own project in.
_NOWHERE = {"GOOGLE_CLOUD_PROJECT": "parsed", "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:9050"}


class ParsedProject:
    """dbt's parse of the project, made when first needed."""

    def __init__(self, project: Project, folder: Path) -> None:
        """Use this folder for dbt's saved parse, from which the next process starts."""
        self.project = project
        self.folder = folder

    def manifest(self, environment: Environment) -> Any:
        """Return dbt's manifest for the placeholder CNPJ; not to be changed.

        Args:
            environment: What dbt's profile reads, such as the target.

        """
        variables = environment.variables()
        with _variables({name: _NOWHERE.get(name, value) for name, value in variables.items()}):
            return self._manifest

    @cached_property
    def _manifest(self) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        # One process parses; others that start at the same time wait, then load what it saved.
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            manifest = _invoke(self.project, ["parse"], target_path=self.folder)
        check_no_literals(manifest)
        return manifest


class Dbt:
    """Runs dbt for one laundromat after another, with one parse."""

    def __init__(self, parsed: ParsedProject, environment: Environment, folder: Path) -> None:
        """Use these services and keep each laundromat's files in a folder of its own."""
        self._parsed = parsed
        self._environment = environment
        self._folder = folder

    def target_path(self, spec: BuildSpec) -> Path:
        """Return the folder of a build's SQL and logs."""
        return self._folder / "-".join(filter(None, (spec.cnpj, spec.side.value)))

    def sources(self) -> Sources:
        """Return the sources of the parsed project, to find mistakes in."""
        manifest = self._parsed.manifest(self._environment)
        return Sources.of_manifest(manifest, self._parsed.project.root)

    def run(
        self,
        spec: BuildSpec,
        command: Sequence[str],
        *,
        keeps_log: bool = False,
        on_event: Callable[[Any], None] | None = None,
    ) -> list[Any]:
        """Run a dbt command such as ``["build"]`` and return its node results.

        Args:
            spec: What the command is about.
            command: Its name and arguments.
            keeps_log: Whether dbt writes its log. The log can quote rows: only for a person who
                builds by hand.
            on_event: Called with each event of dbt.

        Raises:
            RunError: A relation would belong to another laundromat; nothing was executed.
            VmhubError: dbt could not start: no profile, no connection, or SQL does not compile.

        """
        return self._run(spec, command, spec.variables, keeps_log=keeps_log, on_event=on_event)

    def compile_sql(self, spec: BuildSpec, sql: str, **variables: Any) -> str:
        """Return a statement with its `ref`s and macros resolved; nothing is executed.

        Args:
            spec: The build whose tables the statement reads.
            sql: A query that may contain Jinja.
            variables: Vars in addition to those of the build.

        Raises:
            VmhubError: It does not compile.

        """
        command = ["compile", "--no-introspect", "--inline", sql]
        [result] = self._run(spec, command, {**spec.variables, **variables})
        compiled = str(result.node.compiled_code)
        problem = self._boundary(spec, frozenset()).statement_problem(compiled)
        if problem:
            message = f"{REFUSED}: {problem}, beyond what {spec.cnpj} may touch"
            raise RunError(message, hint="name tables by ref() and source() alone")
        return compiled

    def log_path(self, spec: BuildSpec) -> Path:
        """Return where dbt's log of a build is, if it keeps one."""
        return _log_folder(self.target_path(spec)) / "dbt.log"

    def _run(
        self,
        spec: BuildSpec,
        command: Sequence[str],
        variables: dict[str, Any],
        *,
        keeps_log: bool = False,
        on_event: Callable[[Any], None] | None = None,
    ) -> list[Any]:
        _check_variables(variables)
        parsed = self._parsed.manifest(self._environment)
        manifest = manifest_for(parsed, spec, self._environment.project)
        with (
            _variables({**self._environment.variables(), **self._credentials(spec)}),
            bounded(self._boundary(spec, ops_readers(manifest))),
        ):
            result = _invoke(
                self._parsed.project,
                [
                    *(*command, "--no-write-json"),
                    # dbt reads it as YAML, which has no surrogates, unlike JSON with emoji.
                    *("--vars", json.dumps(variables, ensure_ascii=False)),
                ],
                target_path=self.target_path(spec),
                manifest=manifest,
                keeps_log=keeps_log,
                on_event=on_event,
            )
        return list(getattr(result, "results", None) or [])

    def _credentials(self, spec: BuildSpec) -> dict[str, str]:
        """Return the variables that give dbt's profile the laundromat's service account."""
        account = self._environment.account(spec.cnpj)
        return {"VMHUB_DBT_ACCOUNT": account} if account else {}

    def _boundary(self, spec: BuildSpec, readers: frozenset[str]) -> Boundary:
        return Boundary(spec.cnpj, self._environment.project, spec.dataset, readers)


def _check_variables(variables: dict[str, Any]) -> None:
    """Raise a ConfigurationError for vars that must not reach dbt."""
    if parse_cnpj(str(variables["cnpj"])) != variables["cnpj"]:
        message = "the var cnpj is a CNPJ in another spelling"
        raise ConfigurationError(message, hint="pass what parse_cnpj returns")
    for name, value in variables.items():
        if holds_braces(value):
            message = f"{name} has a brace, which dbt would run as Jinja"
            raise ConfigurationError(message, hint="leave { and } out of it")


def _invoke(
    project: Project,
    command: Sequence[str],
    *,
    target_path: Path,
    manifest: Any = None,
    keeps_log: bool = False,
    on_event: Callable[[Any], None] | None = None,
) -> Any:
    # Imported here: dbt takes seconds to import, and most commands do not need it.
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    apply_patches()
    result = dbtRunner(manifest=manifest, callbacks=[on_event] if on_event else []).invoke(
        [
            *command,
            "--project-dir",
            str(project.root),
            "--target-path",
            str(target_path),
            "--log-path",
            str(_log_folder(target_path)),
            "--log-level",
            "none",
            "--log-level-file",
            "debug" if keeps_log else "none",
            "--no-use-colors",
            "--no-send-anonymous-usage-stats",
        ]
    )
    if result.exception is not None:
        message = f"dbt {command[0]}: {_located(result.exception, project, manifest)}"
        raise VmhubError(message, hint=f"the SQL that ran is under {target_path}") from (
            result.exception
        )
    return result.result


def _located(error: BaseException, project: Project, manifest: Any) -> str:
    """Return dbt's message in one line, with the place in the project if it is known."""
    complaint = Complaint.of(str(error))
    root = project.root
    sources = Sources.of_manifest(manifest, root) if manifest else Sources.of_files(root)
    place = sources.find(complaint)
    if place is None or place.line is None:
        return " ".join(str(error).split())
    return f"{place}: {' '.join(complaint.text.split())}"


def _log_folder(target_path: Path) -> Path:
    return target_path / "logs"


@contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the block; dbt's profile reads only these."""
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
