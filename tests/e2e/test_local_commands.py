"""`vmhub local`: the stack that keeps running after the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_stack_stays_up_is_found_ends_and_keeps_its_data_when_asked(
    project: Project, tmp_path: Path
) -> None:
    folder = ("--state-dir", str(tmp_path / "a stack"))
    data = ("--data-dir", str(tmp_path / "kept data"))
    cnpj = ("--cnpj", "12ABC34501DE35", "--name", "Lava Bem", "--json")
    assert vmhub(project, "local", "status", *folder).returncode == 1

    for is_new in (True, False):
        up = vmhub(project, "local", "up", *folder, *data)
        assert up.returncode == 0, up.stderr
        try:
            assert "export FIRESTORE_EMULATOR_HOST=127.0.0.1:" in up.stdout
            assert vmhub(project, "local", "status", *folder).returncode == 0
            second = vmhub(project, "local", "up", *folder)
            assert second.returncode == 2
            assert "already runs" in second.stderr
            variables = json.loads(vmhub(project, "local", "env", "--json", *folder).stdout)
            onboarded = vmhub(project, "onboard", *cnpj, variables=variables)
            assert onboarded.returncode == 0, onboarded.stderr
            assert json.loads(onboarded.stdout)["is_new"] is is_new
            assert bool(json.loads(onboarded.stdout)["created_tables"]) is is_new
        finally:
            down = vmhub(project, "local", "down", *folder)
        assert down.returncode == 0, down.stderr
        assert vmhub(project, "local", "env", *folder).returncode == 2


def test_a_running_firestore_emulator_is_used_under_a_project_of_its_own(
    project: Project, tmp_path: Path
) -> None:
    folder = ("--state-dir", str(tmp_path / "first"))
    shared = ("--state-dir", str(tmp_path / "second"))
    cnpj = ("--cnpj", "12ABC34501DE35", "--name", "Lava Bem", "--json")
    try:
        vmhub(project, "local", "up", *folder)
        first = json.loads(vmhub(project, "local", "env", "--json", *folder).stdout)
        named = {"FIRESTORE_EMULATOR_HOST": first["FIRESTORE_EMULATOR_HOST"]}
        vmhub(project, "local", "up", *shared, variables=named)
        second = json.loads(vmhub(project, "local", "env", "--json", *shared).stdout)
        assert second["FIRESTORE_EMULATOR_HOST"] == first["FIRESTORE_EMULATOR_HOST"]
        assert second["GOOGLE_CLOUD_PROJECT"] != first["GOOGLE_CLOUD_PROJECT"]
        assert second["BIGQUERY_EMULATOR_HOST"] != first["BIGQUERY_EMULATOR_HOST"]
        for variables in (first, second):
            onboarded = vmhub(project, "onboard", *cnpj, variables=variables)
            assert json.loads(onboarded.stdout)["is_new"] is True
        # Ending the second stack does not end the emulator that was already running.
        assert vmhub(project, "local", "down", *shared).returncode == 0
        again = vmhub(project, "onboard", *cnpj, variables=first)
        assert json.loads(again.stdout)["is_new"] is False
    finally:
        vmhub(project, "local", "down", *shared)
        vmhub(project, "local", "down", *folder)
