"""gcloud itself reads every gcloud command of deploy/ and of the docs; nothing is sent."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from loader.dbt.project import find_project

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ROOT = find_project().root
CLOUD_RUN = ROOT / "deploy" / "cloud-run"

pytestmark = pytest.mark.skipif(shutil.which("gcloud") is None, reason="there is no gcloud here")

# Records its calls; a resource that it is asked for exists or not, as the test says. Everywhere
# somebody has a role that deploy/roles does not give, so that it is revoked.
STUB = """#!/usr/bin/env bash
printf '%q ' "${0##*/}" "$@" >>"$CALLS"
echo >>"$CALLS"
case " $* " in
    *" describe "*) exit "$KNOWS_NOTHING" ;;
    *" --format json "*) echo '{}' ;;
    *" get-iam-policy "*)
        printf 'roles/viewer\\tserviceAccount:vmhub-run@my-project.iam.gserviceaccount.com\\t\\n'
        ;;
esac
"""
SCRIPTS = {
    "deploy.sh": ("TOKENS=token-a", "REGION=southamerica-east1", "IMAGE=images.example/vmhub:1"),
    "grant.sh": ("TOKENS=token-a", "REGION=southamerica-east1"),
    "accounts.sh": (),
    "audit-logs.sh": (),
}
OF_THE_PROJECT = {"deploy.sh", "audit-logs.sh"}
# A command in a text, up to what a shell would not pass on to it.
_COMMAND = re.compile(r"(?<![\w./-])gcloud (?:'[^']*'|\"[^\"]*\"|[^`|&;()'\"<>\n])+")
# gcloud's check looks at words, whatever the shell puts into them.
_QUOTED = re.compile(r"'[^']*'|\$\w+")


def _of_scripts(folder: Path) -> set[str]:
    """Return the commands that the scripts run, in a new project and in one that has all."""
    for name in ("gcloud", "bq"):
        (folder / name).write_text(STUB)
        (folder / name).chmod(0o755)
    for script, given in SCRIPTS.items():
        for knows_nothing in "01":
            variables = {
                "PATH": f"{folder}:{os.environ['PATH']}",
                "CALLS": str(folder / "calls"),
                "KNOWS_NOTHING": knows_nothing,
                "PROJECT": "my-project",
                **dict(item.split("=") for item in given),
            }
            arguments = [] if script in OF_THE_PROJECT else ["12ABC34501DE35"]
            command = [str(CLOUD_RUN / script), *arguments]
            subprocess.run(command, env=variables, check=True, capture_output=True)
    lines = (folder / "calls").read_text().splitlines()
    return {shlex.join(shlex.split(line)) for line in lines if line.startswith("gcloud ")}


def _of_texts() -> set[str]:
    """Return the complete commands of the docs, and those that deploy/ tells people to run."""
    found = set()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in re.findall(
            r"```\w*\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL
        ):
            found.update(_COMMAND.findall(block.replace("\\\n", " ")))
    for path in (CLOUD_RUN / "deploy.sh", CLOUD_RUN / "webhook.yaml"):
        for line in path.read_text(encoding="utf-8").splitlines():
            told = re.fullmatch(r"(?:    echo \"|#  ).*?(gcloud [^\"]*).*", line)
            if told:
                found.add(told[1])
    return {command.strip() for command in found}


def _problems(commands: Iterable[str], folder: Path) -> dict[str, str]:
    """Return what gcloud says against commands."""
    asked = [_QUOTED.sub("text", command) for command in commands]
    file = folder / "commands.json"
    file.write_text(json.dumps([{"command_string": command} for command in asked]))
    finished = subprocess.run(
        ["gcloud", "meta", "lint-gcloud-commands", "--commands-file", str(file)],
        env={**os.environ, "CLOUDSDK_CONFIG": str(folder / "config")},
        capture_output=True,
        text=True,
        check=True,
    )
    answers = json.loads(finished.stdout)
    assert len(answers) == len({*asked})
    found = {}
    for answer in answers:
        given = {name for name in answer["command_args"] or () if name.startswith("--")}
        known = {f"--{name}" for name in _names(answer["args_structure"])}
        # Not every option that a command lacks is an error of the check.
        if not answer["success"]:
            found[answer["command_string"]] = answer["error_message"].split(" \n")[0]
        elif given - known:
            found[answer["command_string"]] = f"unknown: {', '.join(sorted(given - known))}"
    return found


def _names(structure: Any) -> Iterator[str]:
    """Return the names of all arguments of a command."""
    if isinstance(structure, dict):
        if isinstance(structure.get("name"), str):
            yield structure["name"]
        for item in structure.values():
            yield from _names(item)
    elif isinstance(structure, list):
        for item in structure:
            yield from _names(item)


def test_gcloud_knows_every_command_and_option_that_we_use(tmp_path: Path) -> None:
    commands = _of_scripts(tmp_path) | _of_texts()
    assert len(commands) > 25
    assert {words for command in commands for words in [" ".join(command.split()[1:4])]} >= {
        *("projects get-iam-policy my-project", "projects remove-iam-policy-binding my-project"),
        *("run jobs add-iam-policy-binding", "run jobs remove-iam-policy-binding"),
        *(
            "projects set-iam-policy my-project",
            "run jobs replace",
            "scheduler jobs create",
            "scheduler jobs update",
        ),
        *("beta run worker-pools", "iam service-accounts create", "secrets create vmhub-phone-key"),
        'logging read \'protoPayload.serviceName="firestore.googleapis.com"',
    }
    assert _problems(sorted(commands), tmp_path) == {}


def test_gcloud_finds_an_option_and_a_command_that_it_does_not_have(tmp_path: Path) -> None:
    wrong = ["gcloud run jobs replace x.yaml --nonsense r", "gcloud iam service-account create x"]
    assert _problems(wrong, tmp_path) == {
        "gcloud run jobs replace x.yaml --nonsense=r": "unknown: --nonsense",
        "gcloud iam service-account create x": "Invalid choice: 'service-account'",
    }
