"""dbt as the script `dbt` runs it, without `vmhub`, in a process that takes many commands.

A command in a process of its own spends most of its time on starting and on reading dbt's own
macros. What a test changes between two commands is read anew all the same: vars, files, variables.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.services import Services

__all__ = ["Ended", "PlainDbt", "plain_dbt_process"]

# What the script does, for each line of stdin.
_LOOP = """
import contextlib, gc, io, json, os, sys
from dbt.cli.main import cli
assert "loader" not in sys.modules
gc.freeze()
gc.set_threshold(100_000, 20, 20)
answers = sys.stdout
for line in sys.stdin:
    asked = json.loads(line)
    os.environ.clear()
    os.environ.update(asked["variables"])
    os.chdir(asked["folder"])
    code, output = 0, io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            cli(asked["arguments"])
        except SystemExit as ended:
            code = ended.code
    print(json.dumps({"code": code or 0, "output": output.getvalue()}), file=answers, flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """What a command ended with."""

    code: int
    output: str


@dataclass(frozen=True)
class PlainDbt:
    """A process that runs dbt's commands one after the other."""

    stdin: IO[str]
    stdout: IO[str]

    def run(self, services: Services, *command: str) -> Ended:
        """Run a command in the project of these services, with the profile of their stack."""
        target = str(services.state_dir / "plain dbt")
        asked: dict[str, Any] = {
            "arguments": [*command, "--target-path", target, "--log-path", target],
            "folder": str(services.project.root),
            "variables": {**os.environ, **services.environment.variables(), "NO_COLOR": "1"},
        }
        print(json.dumps(asked), file=self.stdin, flush=True)
        return Ended(**json.loads(self.stdout.readline()))


@contextmanager
def plain_dbt_process() -> Iterator[PlainDbt]:
    """Start the process, and end it after the block; what it says to stderr stays visible."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _LOOP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        yield PlainDbt(process.stdin, process.stdout)
        process.stdin.close()
        assert process.wait(timeout=60) == 0
