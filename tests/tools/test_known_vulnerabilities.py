"""What `make audit` says of a report of pip-audit, and of none."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from loader.dbt.project import find_project
from tools.known_vulnerabilities import judge

if TYPE_CHECKING:
    from pathlib import Path

SAFE = {"name": "typer", "version": "0.29.2", "vulns": []}
UNKNOWN = {"name": "rich", "skip_reason": "Dependency not found on PyPI"}
WEAK = {
    "name": "weak",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-0000-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}],
}


def _report(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": [*packages], "fixes": []}


def test_all_packages_were_looked_up_and_none_is_vulnerable() -> None:
    judged = judge("x.lock", _report(SAFE, SAFE))
    assert judged == (("x.lock: 2 packages were looked up, 0 known vulnerabilities",), False, True)


def test_a_vulnerable_package_is_named_with_the_version_that_fixes_it() -> None:
    judged = judge("x.lock", _report(SAFE, WEAK))
    assert judged.lines[0] == "weak 1.0: PYSEC-0000-1, fixed in 1.1"
    assert (judged.is_vulnerable, judged.is_complete) == (True, True)


@pytest.mark.parametrize("report", [None, _report(), _report(UNKNOWN, UNKNOWN)])
def test_what_nobody_answered_for_is_called_not_checked(report: dict[str, Any] | None) -> None:
    judged = judge("x.lock", report)
    assert "NOT CHECKED" in judged.lines[-1]
    assert (judged.is_vulnerable, judged.is_complete) == (False, False)


def test_packages_that_the_service_does_not_know_are_counted() -> None:
    judged = judge("x.lock", _report(SAFE, UNKNOWN))
    assert judged.lines == ("x.lock: NOT COMPLETE: only 1 of 2 packages were looked up",)
    assert not judged.is_complete


@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 1)])
def test_without_an_answer_it_says_so_and_fails_only_where_an_answer_is_required(
    tmp_path: Path, required: str, code: int
) -> None:
    # pip-audit is not in the environment of the tests, so there is no report.
    ended = subprocess.run(
        [sys.executable, find_project().root / "tools" / "known_vulnerabilities.py", "x.lock"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "REQUIRED": required},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, "NOT CHECKED" in ended.stdout) == (code, True)
    assert "pip_audit" in ended.stderr
