"""Every vmhub command line in deploy/, the Dockerfile and the docs is valid."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
import yaml

from loader.base.logs import LogFormat
from loader.cli.app import app
from loader.dbt.project import find_project
from loader.fleet.schedule import alert_child, run_child

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = find_project().root
DEPLOY = ROOT / "deploy"

_WORD = r"(?:\"[^\"]*\"|'[^']*'|[^\s`;&|<>()#\"'])+"
_COMMAND = re.compile(rf"(?<![\w@./-])(?:\S*/bin/)?vmhub(?P<arguments>(?: +{_WORD})+)")


def _options() -> dict[str, set[str]]:
    """Return the options of every command; a group's command has both names in its key."""
    found: dict[str, set[str]] = {}

    def look(command: Any, name: str) -> None:
        found[name] = {option for given in command.params for option in given.opts}
        found[name] |= {option for given in command.params for option in given.secondary_opts}
        names = command.list_commands(None) if hasattr(command, "list_commands") else ()
        for child in names:
            look(command.get_command(None, child), f"{name} {child}".strip())

    look(typer.main.get_command(app), "")
    return found


def _problem(arguments: list[str]) -> str | None:
    """Return what is wrong with a command line; None when it is valid."""
    options = _options()
    name = ""
    words = iter(arguments)
    for word in words:
        if word.startswith("--"):
            option = word.partition("=")[0]
            if option not in options[name] | {"--help"}:
                return f"{name or 'vmhub'} has no option {option}"
            if name == "" and "=" not in word and option != "--help":
                next(words, None)
        elif f"{name} {word}".strip() in options:
            name = f"{name} {word}".strip()
        elif name in {"", "local"}:
            return f"there is no command {name} {word}".replace("  ", " ")
    return None


def _in_shell(text: str) -> Iterator[list[str]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    for match in _COMMAND.finditer(joined):
        yield shlex.split(match["arguments"])


def _in_markdown(text: str) -> Iterator[list[str]]:
    for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
        yield from _in_shell(block)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for code in re.findall(r"`(vmhub [^`]+)`", prose):
        yield from _in_shell(code)


def _in_image() -> list[str]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    [words] = re.findall(r"^CMD (.*)", text, re.MULTILINE)
    command = json.loads(words)
    assert isinstance(command, list)
    return command


def _in_job(text: str) -> list[str]:
    task = yaml.safe_load(text)["spec"]["template"]["spec"]
    if "template" in task:
        # A job's; a worker pool has no tasks.
        task = task["template"]["spec"]
    return [str(word) for word in task["containers"][0]["args"]]


def _command_lines() -> Iterator[tuple[str, list[str]]]:
    for name in ("docs/alerts.md", "docs/operations.md", "README.md"):
        for words in _in_markdown((ROOT / name).read_text(encoding="utf-8")):
            yield name, words
    for path in sorted(DEPLOY.rglob("*.service")):
        for words in _in_shell(path.read_text(encoding="utf-8")):
            yield path.name, words
    for line in (DEPLOY / "cron" / "vmhub").read_text(encoding="utf-8").splitlines():
        # The part after the user's name.
        for words in _in_shell(line.partition(" vmhub ")[2]):
            yield "cron", words
    for path in sorted(DEPLOY.rglob("*.yaml")):
        yield path.name, _in_job(path.read_text(encoding="utf-8"))
    yield "Dockerfile", _in_image()
    for step in (run_child(LogFormat.JSON, jobs=1, time_limit=1), alert_child(LogFormat.JSON)):
        yield "schedule", list(step.command[3:])


def test_every_command_line_is_one_of_a_real_command_with_real_options() -> None:
    lines = list(_command_lines())
    wrong = {f"{where}: {' '.join(words)}": _problem(words) for where, words in lines}
    assert {line: problem for line, problem in wrong.items() if problem} == {}
    where = {name for name, _ in lines}
    assert where == {
        *("README.md", "docs/alerts.md", "docs/operations.md", "Dockerfile", "schedule", "cron"),
        *("run.yaml", "alert.yaml", "vmhub-run.service", "vmhub-alert.service"),
        *("send.yaml", "vmhub-send.service", "webhook.yaml", "vmhub-webhook.service"),
    }
    assert len(lines) > 40


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("vmhub sync --cnpj X --dry-run", None),
        ("vmhub local up --data-dir x", None),
        ("/opt/vmhub/.venv/bin/vmhub --log-format json track --all", None),
        ("vmhub sync --cnpj X --dry", "sync has no option --dry"),
        ("vmhub --json sync", "vmhub has no option --json"),
        ("vmhub nonsense --all", "there is no command nonsense"),
        ("vmhub local nonsense", "there is no command local nonsense"),
    ],
)
def test_the_check_of_command_lines_finds_what_is_wrong(line: str, problem: str | None) -> None:
    [words] = _in_shell(line)
    assert _problem(words) == problem
