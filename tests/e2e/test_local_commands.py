"""`vmhub local`: the stack that keeps running after the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from loader.base.errors import ExitCode
from loader.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

    from loader.base.environment import Environment
    from loader.dbt.project import Project


def vmhub(
    project: Project, *arguments: str, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if "EMULATOR" not in name}
    return subprocess.run(
        [sys.executable, "-m", "loader", *arguments],
        cwd=project.root,
        env={**inherited, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def here(*arguments: str, variables: dict[str, str] | None = None) -> str:
    """Run a command that must succeed in this process, which has imported all it needs."""
    result = CliRunner().invoke(app, arguments, env=variables, catch_exceptions=False)
    assert result.exit_code == ExitCode.OK, result.output
    return result.stdout


def onboarded(variables: dict[str, str]) -> Any:
    """Onboard a laundromat on these servers and return the report."""
    arguments = ("onboard", "--cnpj", "12ABC34501DE35", "--name", "Lava Bem", "--json")
    return json.loads(here(*arguments, variables=variables))


@pytest.mark.parametrize("kind", ["embedded", pytest.param("google", marks=pytest.mark.large)])
def test_a_stack_stays_up_is_found_ends_and_keeps_its_data_when_asked(
    kind: str, project: Project, tmp_path: Path
) -> None:
    folder = ("--state-dir", str(tmp_path / "a stack"))
    data = ("--data-dir", str(tmp_path / "kept data"), "--firestore", kind)
    assert vmhub(project, "local", "status", *folder).returncode == 1

    for is_new in (True, False):
        up = vmhub(project, "local", "up", *folder, *data)
        assert up.returncode == 0, up.stderr
        try:
            assert "export FIRESTORE_EMULATOR_HOST=127.0.0.1:" in up.stdout
            assert here("local", "status", *folder)
            second = vmhub(project, "local", "up", *folder)
            assert second.returncode == 2
            assert "already runs" in second.stderr
            report = onboarded(json.loads(here("local", "env", "--json", *folder)))
            assert report["is_new"] is is_new
            assert bool(report["created_tables"]) is is_new
        finally:
            down = vmhub(project, "local", "down", *folder)
        assert down.returncode == 0, down.stderr
        assert vmhub(project, "local", "env", *folder).returncode == 2


def test_a_running_firestore_emulator_is_used_under_a_project_of_its_own(
    project: Project, environment: Environment, tmp_path: Path
) -> None:
    folder = ("--state-dir", str(tmp_path / "second"))
    first = environment.variables()
    named = {"FIRESTORE_EMULATOR_HOST": first["FIRESTORE_EMULATOR_HOST"]}
    try:
        vmhub(project, "local", "up", *folder, variables=named)
        second = json.loads(here("local", "env", "--json", *folder))
        assert second["FIRESTORE_EMULATOR_HOST"] == first["FIRESTORE_EMULATOR_HOST"]
        assert second["GOOGLE_CLOUD_PROJECT"] != first["GOOGLE_CLOUD_PROJECT"]
        assert second["BIGQUERY_EMULATOR_HOST"] != first["BIGQUERY_EMULATOR_HOST"]
        for variables in (first, second):
            assert onboarded(variables)["is_new"] is True
        # Ending the second stack does not end the emulator that was already running.
        assert vmhub(project, "local", "down", *folder).returncode == 0
        assert onboarded(first)["is_new"] is False
    finally:
        here("local", "down", *folder)
