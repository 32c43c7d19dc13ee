"""The image has everything that production needs, and its lock agrees with the full lock."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import pytest
import yaml

from loader.dbt.project import find_project

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = find_project().root


def _instructions() -> Iterator[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.partition(" ")
        yield name, rest


def _copied() -> set[str]:
    return {
        source
        for name, rest in _instructions()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }


def test_everything_that_is_copied_exists_and_is_let_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == _copied()
    tracked = _git("ls-files").split()
    for source in _copied():
        assert any(name == source or name.startswith(f"{source}/") for name in tracked), source


def test_everything_that_dbt_and_vmhub_read_is_copied() -> None:
    project = yaml.safe_load((ROOT / "dbt_project.yml").read_text(encoding="utf-8"))
    folders = {
        folder
        for kind in ("model", "macro", "seed", "test")
        for folder in project[f"{kind}-paths"]
        if (ROOT / folder).is_dir()
    }
    assert folders | {"dbt_project.yml", "selectors.yml", "profiles.yml.example"} <= _copied()
    assert {"pyproject.toml", "README.md", "console", "loader", "whatsapp"} <= _copied()


def test_the_image_runs_vmhub_as_somebody_else_than_root() -> None:
    last = dict(_instructions())
    assert json.loads(last["ENTRYPOINT"]) == ["vmhub"]
    assert json.loads(last["CMD"]) == ["run", "--all"]
    [made] = [rest for name, rest in _instructions() if name == "RUN" and "useradd" in rest]
    assert f"--uid {last['USER']} " in made
    # Root installs; nothing is installed or copied after it has gone.
    names = [name for name, _ in _instructions()]
    assert names.index("USER") > len(names) - names[::-1].index("COPY") - 1


def test_both_stages_have_the_base_that_a_build_can_name_by_its_digest() -> None:
    names, rests = zip(*_instructions(), strict=True)
    # An argument is known to FROM only if it stands before the first one.
    assert names[:2] == ("ARG", "FROM")
    assert re.fullmatch(r"BASE=python:3\.11-slim(@sha256:[0-9a-f]{64})?", rests[0])
    bases = [rest.split()[0] for name, rest in _instructions() if name == "FROM"]
    assert bases == ["${BASE}", "${BASE}"]


def test_a_read_only_disk_needs_only_two_places_to_write() -> None:
    given = [rest for name, rest in _instructions() if name == "RUN" and "chown" in rest]
    assert given == ["mkdir .vmhub && chown vmhub .vmhub"]
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^\$ docker run (?:.*\\\n)*.*$", text, re.MULTILINE)
    assert {"--read-only", "/tmp", "/project/.vmhub", "no-new-privileges"} <= set(command.split())


@pytest.mark.parametrize(
    "name", ["requirements.lock", "requirements-run.lock", "requirements-audit.lock"]
)
def test_a_lock_has_hashes_and_names_no_index(name: str) -> None:
    assert "://" not in (ROOT / name).read_text(encoding="utf-8")
    assert all("--hash=sha256:" in line for line in _locked(name).values())


def test_the_lock_of_the_audit_has_the_tools_that_pyproject_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = {re.split(r"[>=]", each)[0] for each in project["dependency-groups"]["audit"]}
    assert named <= _locked("requirements-audit.lock").keys()
    # They are not in the environment of the tests.
    assert not named & _locked("requirements.lock").keys()


def _locked(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", "")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    # A package that one lock needs only on another platform has a marker there.
    return {line.split("==")[0]: re.sub(r" ;.*? (?=--hash)", " ", line) for line in lines}


def test_the_lock_of_the_image_is_a_part_of_the_whole_lock() -> None:
    whole, image = _locked("requirements.lock"), _locked("requirements-run.lock")
    assert image.items() <= whole.items()
    assert all("--hash=sha256:" in line for line in image.values())
    development = {"bqemulator", "duckdb", "hypothesis", "mypy", "pytest", "ruff", "sqlfluff", "uv"}
    assert development <= whole.keys() - image.keys()


def test_the_lock_of_the_image_has_every_package_that_pyproject_names() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [listed] = re.findall(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    named = set(re.findall(r'"([a-z0-9-]+)', listed))
    # The lock also has the packages that build our own package without a download.
    assert named | {"setuptools"} <= _locked("requirements-run.lock").keys()


def test_the_patterns_of_dockerignore_keep_profiles_and_keys_out() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = [line[1:] for line in lines if line.startswith("!")]
    for name in ("profiles.yml", ".vmhub", ".git", ".venv", "service-account.json", "tests/loader"):
        assert not any(fnmatch(name, pattern) for pattern in let_through)


def _git(*arguments: str) -> str:
    # Include files that are not committed yet.
    others = ("--cached", "--others", "--exclude-standard")
    return subprocess.run(
        ["git", arguments[0], *others, *arguments[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
