"""docs/cli.md and the shell's completion agree with the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loader.dbt.project import Project


def test_the_reference_of_the_command_line_is_current(project: Project, tmp_path: Path) -> None:
    written = tmp_path / "cli.md"
    typer = str(Path(sys.executable).parent / "typer")
    subprocess.run(
        [typer, "loader.cli.app", "utils", "docs", "--name", "vmhub", "--output", str(written)],
        cwd=project.root,
        check=True,
        capture_output=True,
    )
    kept = (project.root / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written.read_text(encoding="utf-8") == kept, "run `make docs-cli`"


def test_a_shell_completes_commands_and_options() -> None:
    vmhub = str(Path(sys.executable).parent / "vmhub")
    for words, wanted in (("vmhub lo", "local"), ("vmhub local up --fi", "--firestore")):
        asked = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        variables = {**os.environ, **asked, "_VMHUB_COMPLETE": "complete_bash"}
        ended = subprocess.run([vmhub], env=variables, capture_output=True, text=True, check=True)
        assert ended.stdout.split() == [wanted]
