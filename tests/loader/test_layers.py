"""Import layers: pyproject.toml has the rule, and `lint-imports` checks it."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from loader.dbt.project import find_project

ROOT = find_project().root

# Each line breaks one contract; the last three do so only by a type.
UPWARD = {
    "loader/base/errors.py": "from loader.base.cnpj import Cnpj",
    "loader/sync/decide.py": "import loader.firestore.values",
    "loader/bigquery/runs.py": "import loader.dbt.project",
    "loader/sync/match.py": "from loader.messages import Oddity",
    "loader/questions/explain.py": "from loader.services import Services",
    "console/report/words.py": "from loader.dbt.project import Project",
    "loader/fleet/window.py": "from console.report.figures import OwnerFigures",
}
OF_TYPES = ("loader/sync/match.py", "loader/questions/explain.py", "console/report/words.py")

# Prints, at the end of the process, which of our modules a command has loaded.
SPY = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(
    name for name in sys.modules if name.split(".")[0] in ("loader", "console")
)), file=sys.stderr))
from loader.cli.app import main
sys.argv = ["vmhub", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("changed", sorted(UPWARD))
def test_an_import_that_goes_upward_fails_the_lint(tmp_path: Path, changed: str) -> None:
    for package in ("console", "loader", "whatsapp"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file = tmp_path / changed
    line = UPWARD[changed]
    if changed in OF_TYPES:
        line = f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {line}"
    future = "from __future__ import annotations\n"
    text = file.read_text(encoding="utf-8")
    assert future in text
    file.write_text(text.replace(future, f"{future}\n{line}\n", 1), encoding="utf-8")

    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert linted.returncode == 1
    assert "BROKEN" in linted.stdout


def test_sync_loads_nothing_of_check_status_preview_report_or_the_console() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SPY, "sync", "--cnpj", "11222333000181"],
        cwd=ROOT,
        # Nothing answers there: the command ends after all its imports.
        env={
            "PATH": os.environ["PATH"],
            "GOOGLE_CLOUD_PROJECT": "vmhub-nowhere",
            "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1",
            "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1",
            "BIGQUERY_STORAGE_EMULATOR_HOST": "127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = json.loads(ended.stderr.splitlines()[-1])
    assert "loader.sync.run" in loaded
    assert "loader.firestore.targets" in loaded
    own = {"loader.cli", "loader.cli.app", "loader.cli.options", "loader.cli.output"}
    foreign = [
        name
        for name in loaded
        if name.startswith(("loader.operations", "loader.questions", "loader.fleet", "console"))
        or (name.startswith("loader.cli") and name not in {*own, "loader.cli.sync"})
    ]
    assert foreign == []


def test_a_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for package in ("console", "loader", "whatsapp"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
