"""The command line: the list of commands, and the exit code of each error."""

from __future__ import annotations

import logging
import os
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from loader.base.environment import ALERT_URLS_VARIABLE
from loader.base.errors import ExitCode, VmhubError
from loader.base.logs import LogFormat, configure_logs

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["COMMANDS", "app", "main"]

_log = logging.getLogger(__name__)

# In the order of --help. `vmhub NAME` is NAME_command, or NAME_app, in loader/cli/NAME.py.
COMMANDS = (
    "demo",
    "onboard",
    "build",
    "sync",
    "track",
    "run",
    "explain",
    "preview",
    "send",
    "webhook",
    "templates",
    "optout",
    "privacy",
    "report",
    "schedule",
    "settings",
    "check",
    "status",
    "audit",
    "local",
)


_TELLS = ("schedule", "status")
"""The commands that use $VMHUB_ALERT_URLS."""


class _Commands(TyperGroup):
    """The commands. Each is imported when it is used, so none loads what another needs."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as Typer calls it
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - as Typer calls it
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"loader.cli.{cmd_name}")
        group: typer.Typer | None = getattr(module, f"{cmd_name}_app", None)
        if group is None:
            group = typer.Typer(add_completion=False, rich_markup_mode=None)
            group.command(cmd_name)(getattr(module, f"{cmd_name}_command"))
        command = typer.main.get_command(group)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="vmhub",
    cls=_Commands,
    help="WhatsApp campaigns for self-service laundromats: from BigQuery to Firestore.",
    no_args_is_help=True,
    # `vmhub --install-completion` sets it up for the user's shell.
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    signal.signal(signal.SIGTERM, _on_terminate)
    try:
        app()
    except VmhubError as error:
        _log.error("%s", error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _log.error("interrupted")
        sys.exit(ExitCode.INTERRUPTED)


@app.callback()
def _common(
    context: typer.Context,
    log_format: Annotated[
        LogFormat, typer.Option(help="Format of logs and errors on stderr.")
    ] = LogFormat.TEXT,
) -> None:
    configure_logs(log_format)
    if context.invoked_subcommand not in _TELLS:
        # The receivers' URLs are secrets: no other command and no child process gets them.
        os.environ.pop(ALERT_URLS_VARIABLE, None)
    # For commands that start processes, which log in the same format.
    context.obj = log_format


def _on_terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    # Raise instead of exiting, so that everything that is open gets closed.
    sys.exit(128 + signal.SIGTERM)
