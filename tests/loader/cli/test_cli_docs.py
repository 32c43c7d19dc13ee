"""docs/cli.md agrees with the command line."""

from __future__ import annotations

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
