"""README's two commands on a machine that has git, make and Python, and nothing else."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support import SCRIPTS

if TYPE_CHECKING:
    from loader.dbt.project import Project


# What it printed when somebody last looked at it: `vmhub demo > tests/e2e/demo.txt`.
EXPECTED = Path(__file__).with_name("demo.txt")


# What every system has that has make: no java, no gcloud, no browser.
TOOLS = (
    "bash",
    "sh",
    "env",
    "git",
    "make",
    "awk",
    "cat",
    "cp",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "touch",
)


@pytest.fixture(scope="module")
def bare_machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the variables of a machine with nothing else installed."""
    folder = tmp_path_factory.mktemp("bare machine")
    for tool in TOOLS:
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    (folder / "python3").symlink_to(sys.executable)
    # The parts of this session that a new user does not have.
    unset = {name: "" for name in os.environ if "EMULATOR" in name}
    return {**os.environ, **unset, "PATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def run(
    command: list[str], variables: dict[str, str], folder: Path, **user: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False, **user
    )


def servers(state_dir: Path) -> list[str]:
    """Return the running processes whose variables point into a stack's folder."""
    found = []
    for process in psutil.process_iter(["name", "environ"]):
        variables = (process.info["environ"] or {}).values()
        if any(value.startswith(str(state_dir)) for value in variables):
            found.append(process.info["name"])
    return found


def test_the_demo_prints_the_same_every_time_and_leaves_nothing_running(
    project: Project, bare_machine: dict[str, str]
) -> None:
    # The installation is there already: it would need a network.
    installed = [f"BIN={SCRIPTS}", "INSTALLED="]
    played = run(["make", "--silent", "demo", *installed], bare_machine, project.root)
    assert played.returncode == 0, played.stderr
    assert servers(project.root / ".vmhub" / "demo") == []
    assert played.stdout == EXPECTED.read_text(encoding="utf-8")


def test_tests_that_need_googles_emulator_are_skipped_and_say_why(
    project: Project, bare_machine: dict[str, str]
) -> None:
    some = "tests/loader/local/firestore/test_transactions.py"
    variables = {**bare_machine, "VMHUB_TEST_SKIPS_NOTHING": ""}
    options = ["-rs", "--numprocesses=0", "-p", "no:cacheprovider"]
    ended = run([sys.executable, "-m", "pytest", *options, some], variables, project.root)
    assert ended.returncode == 0, ended.stdout
    assert "4 passed, 4 skipped" in ended.stdout
    assert "the Firestore emulator needs Java" in ended.stdout


@pytest.mark.large
@pytest.mark.timeout(1800)
def test_a_user_without_rights_sets_up_and_plays_the_demo(
    project: Project, bare_machine: dict[str, str]
) -> None:
    """In a path with a space and an apostrophe; installs, so it needs a network or pip's files."""
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    # Outside of pytest's folders, which only their own user can enter.
    with tempfile.TemporaryDirectory(prefix="somebody's home ") as home:
        clone, tools = Path(home, "vmhub"), Path(home, "tools")
        subprocess.run(["git", "clone", "--quiet", str(project.root), str(clone)], check=True)
        shutil.copytree(bare_machine["PATH"], tools, symlinks=True)
        # The system's Python, if it has one: this session's may be in its user's own folder.
        python = shutil.which("python3", path="/usr/bin") or sys.executable
        (tools / "python3").unlink()
        (tools / "python3").symlink_to(python)
        variables = {**bare_machine, "PATH": str(tools), "HOME": home}
        for path in (Path(home), *Path(home).rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)

        as_user: dict[str, Any] = {
            "user": user.pw_uid,
            "group": user.pw_gid,
            "extra_groups": [] if os.getuid() == 0 else None,
        }

        def make(word: str) -> str:
            ended = run(["make", "--silent", word], variables, clone, **as_user)
            assert ended.returncode == 0, ended.stderr
            return ended.stdout

        make("install")
        assert make("demo") == EXPECTED.read_text(encoding="utf-8")
