"""`vmhub local`: start, find and stop the local stack."""

from __future__ import annotations

import logging
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loader.base.errors import ConfigurationError, ExitCode
from loader.cli.options import JsonOption  # noqa: TC001 - Typer looks at it while the program runs
from loader.cli.output import print_json
from loader.dbt.project import find_project
from loader.local.stack import FirestoreKind, load_stack, start_stack, stop_stack

if TYPE_CHECKING:
    from loader.local.stack import LocalStack

__all__ = ["local_app", "print_variables"]

_log = logging.getLogger(__name__)

local_app = typer.Typer(
    help="The local stack: emulators of Firestore and BigQuery, a fake WhatsApp, a webhook.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


StateDirOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the stack's logs and addresses; default: .vmhub/local."),
]
FirestoreOption = Annotated[
    FirestoreKind, typer.Option(help="The Firestore to start: our own, or Google's emulator.")
]


@local_app.command("up")
def local_up(
    state_dir: StateDirOption = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Keep the data in this folder, and load what is there."),
    ] = None,
    firestore: FirestoreOption = FirestoreKind.EMBEDDED,
) -> None:
    """Start the local stack in the background and print its variables.

    It also runs `vmhub webhook`: messages are delivered and read after some seconds.

    If FIRESTORE_EMULATOR_HOST names an emulator, that one is used. Otherwise one is started: our
    own, which needs only Python, or Google's, which needs Java and the Google Cloud SDK.

    Example: eval "$(vmhub local up)"
    """
    stack = start_stack(
        find_project(),
        _folder(state_dir),
        data_dir=data_dir.resolve() if data_dir else None,
        firestore=firestore,
        firestore_host=os.environ.get("FIRESTORE_EMULATOR_HOST") or None,
        receives=True,
    )
    print_variables(stack)


@local_app.command("down")
def local_down(state_dir: StateDirOption = None) -> None:
    """Stop the local stack. Its data is lost unless `up` was given a data folder.

    Example: vmhub local down
    """
    folder = _folder(state_dir)
    stack = load_stack(folder)
    if stack is None:
        _log.info("no local stack runs from %s", folder)
        return
    stop_stack(stack)


@local_app.command("env")
def local_env(state_dir: StateDirOption = None, *, as_json: JsonOption = False) -> None:
    """Print the variables by which vmhub, dbt and Google's clients use the local stack.

    Open WHATSAPP_API_URL in a browser to see the messages on the phones.

    Example: eval "$(vmhub local env)"
    """
    stack = _running_stack(_folder(state_dir))
    if as_json:
        print_json(stack.variables())
    else:
        print_variables(stack)


@local_app.command("status")
def local_status(state_dir: StateDirOption = None, *, as_json: JsonOption = False) -> None:
    """Say whether the local stack runs, and where. Exit code 1 when it does not.

    Example: vmhub local status
    """
    folder = _folder(state_dir)
    stack = load_stack(folder)
    is_running = stack is not None and stack.is_running()
    if as_json:
        print_json({"running": is_running, **(_addresses(stack) if stack and is_running else {})})
    elif stack is not None and is_running:
        for name, address in _addresses(stack).items():
            typer.echo(f"{name}: {address}")
    else:
        typer.echo(f"no local stack runs from {folder}")
    if not is_running:
        raise typer.Exit(ExitCode.FAILED)


def _addresses(stack: LocalStack) -> dict[str, str]:
    return {
        "project": stack.project,
        "firestore": stack.firestore_host,
        "bigquery": stack.bigquery_url,
        "bigquery_storage": stack.bigquery_storage_host,
        "whatsapp": stack.whatsapp_url,
        "webhook": stack.webhook_url,
        "logs": str(stack.state_dir),
    }


def _running_stack(folder: Path) -> LocalStack:
    stack = load_stack(folder)
    if stack is None or not stack.is_running():
        message = f"no local stack runs from {folder}"
        raise ConfigurationError(message, hint="start one with `vmhub local up`")
    return stack


def print_variables(stack: LocalStack) -> None:
    """Print a stack's variables as shell exports."""
    for name, value in stack.variables().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _folder(given: Path | None) -> Path:
    return given.resolve() if given else find_project().state_dir / "local"
