"""The command line: parse, build, call, show; and an error to its exit code."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from loader.cnpj import parse_cnpj
from loader.demo.run import run_demo
from loader.errors import ConfigurationError, ExitCode, VmhubError
from loader.local.stack import load_stack, local_stack, start_stack, stop_stack
from loader.logs import LogFormat, configure_logs
from loader.onboard import onboard
from loader.project import find_project
from loader.session import Session, state_dir
from loader.show import (
    show_build,
    show_demo,
    show_explanation,
    show_json,
    show_onboard,
    show_sync,
)
from loader.sync import SyncOptions
from loader.targets import Outcome

if TYPE_CHECKING:
    from types import FrameType

    from loader.local.stack import LocalStack

__all__ = ["app", "main"]

_log = logging.getLogger(__name__)

app = typer.Typer(
    name="vmhub",
    help="WhatsApp campaigns for self-service laundromats: from BigQuery to Firestore.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
local_app = typer.Typer(
    help="The local stack: Google's Firestore emulator and a BigQuery emulator.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(local_app, name="local")

CnpjOption = Annotated[
    str, typer.Option("--cnpj", help="The laundromat: 14 characters, punctuation is ignored.")
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of", help="The run's instant, ISO 8601 with an offset; default: now.", metavar="T"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


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
    log_format: Annotated[
        LogFormat, typer.Option(help="How logs and errors look on stderr.")
    ] = LogFormat.TEXT,
) -> None:
    configure_logs(log_format)


@app.command("onboard")
def onboard_command(
    cnpj: CnpjOption,
    name: Annotated[str, typer.Option(help="The laundromat's name.")],
    timezone: Annotated[
        str | None, typer.Option(help="IANA time zone; default: America/Sao_Paulo.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Create a laundromat's campaign tables and register it. Safe to repeat.

    Example: vmhub onboard --cnpj 12.ABC.345/01DE-35 --name "Lava Bem" --timezone America/Manaus
    """
    parsed = parse_cnpj(cnpj)
    session = Session.open()
    report = onboard(
        session.project,
        session.warehouse,
        session.registry,
        cnpj=parsed,
        name=name,
        timezone=timezone,
    )
    _show(report, show_onboard, as_json=as_json)


@app.command("build")
def build_command(
    cnpj: CnpjOption,
    as_of: AsOfOption = None,
    selector: Annotated[
        str | None,
        typer.Option(help="A selector of selectors.yml, such as hourly; default: everything."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Build a laundromat's campaign tables with dbt.

    Example: vmhub build --cnpj 12ABC34501DE35 --selector hourly
    """
    parsed, instant = parse_cnpj(cnpj), _instant(as_of)
    arguments = ["--selector", selector] if selector else []
    report = Session.open().build(parsed, as_of=instant, arguments=arguments)
    _show(report, show_build, as_json=as_json)


@app.command("sync")
def sync_command(
    cnpj: CnpjOption,
    as_of: AsOfOption = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and count, write nothing.")] = (
        False
    ),
    max_age: Annotated[
        int, typer.Option(help="Refuse targets built more minutes ago.", min=1, metavar="MINUTES")
    ] = 120,
    max_withdraw_percent: Annotated[
        int,
        typer.Option(
            help="Stop when more of the pending documents would be withdrawn.", min=0, max=100
        ),
    ] = 50,
    as_json: JsonOption = False,
) -> None:
    """Bring Firestore in line with a laundromat's campaign_targets.

    Example: vmhub sync --cnpj 12ABC34501DE35 --dry-run
    """
    parsed, instant = parse_cnpj(cnpj), _instant(as_of)
    options = SyncOptions(
        is_dry_run=dry_run,
        max_age=timedelta(minutes=max_age),
        max_withdraw_percent=max_withdraw_percent,
    )
    report = Session.open().sync(parsed, as_of=instant, options=options)
    _show(report, show_sync, as_json=as_json)
    rows = sum(campaign.rows_read for campaign in report.campaigns)
    if any(problem.outcome is not Outcome.EXHAUSTED for problem in report.problems):
        is_all = rows == report.total(Outcome.FAILED, Outcome.REJECTED)
        raise typer.Exit(ExitCode.FAILED if is_all else ExitCode.PARTLY_FAILED)


@app.command("explain")
def explain_command(
    cnpj: CnpjOption,
    customer: Annotated[str, typer.Option(help="The customer's id, as in clientes.id.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Say why a customer did or did not get each campaign's message, as of the last build.

    Example: vmhub explain --cnpj 12ABC34501DE35 --customer 1004
    """
    parsed = parse_cnpj(cnpj)
    _show(Session.open().explain(parsed, customer), show_explanation, as_json=as_json)


@app.command("demo")
def demo_command(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the local stack running and print how to use it.")
    ] = False,
) -> None:
    """Play two cycles of three sample laundromats on a local stack of its own.

    Example: vmhub demo --keep
    """
    project = find_project()
    folder = state_dir(project) / "demo"
    firestore_host = os.environ.get("FIRESTORE_EMULATOR_HOST") or None
    _log.info("starting the local stack; its logs are in %s", folder)
    if not keep:
        with local_stack(project, folder, firestore_host=firestore_host) as stack:
            _demo(stack)
        return
    stack = start_stack(project, folder, firestore_host=firestore_host)
    try:
        _demo(stack)
    except BaseException:
        stop_stack(stack)
        raise
    typer.echo("\nThe stack is still running. To use it from this shell:\n")
    _print_variables(stack)
    typer.echo(f"\nTo end it: vmhub local down --state-dir {shlex.quote(str(folder))}")


def _demo(stack: LocalStack) -> None:
    # Google's own client, which the stand-in for the sender uses, finds the emulator only here.
    os.environ["FIRESTORE_EMULATOR_HOST"] = stack.firestore_host
    session = Session(find_project(), stack.environment(), stack.state_dir)
    show_demo(run_demo(session, _log.info))


StateDirOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the stack's logs and addresses; default: .vmhub/local."),
]


@local_app.command("up")
def local_up(
    state_dir: StateDirOption = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Keep the data in this folder and take up what is there."),
    ] = None,
) -> None:
    """Start the local stack in the background and print its variables.

    A Firestore emulator that FIRESTORE_EMULATOR_HOST names is used as it is.

    Example: eval "$(vmhub local up)"
    """
    stack = start_stack(
        find_project(),
        _folder(state_dir),
        data_dir=data_dir.resolve() if data_dir else None,
        firestore_host=os.environ.get("FIRESTORE_EMULATOR_HOST") or None,
    )
    _print_variables(stack)


@local_app.command("down")
def local_down(state_dir: StateDirOption = None) -> None:
    """End the local stack. Its data goes with it unless `up` was given a data folder.

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

    Example: eval "$(vmhub local env)"
    """
    stack = _running_stack(_folder(state_dir))
    if as_json:
        show_json(stack.environment().variables())
    else:
        _print_variables(stack)


@local_app.command("status")
def local_status(state_dir: StateDirOption = None, *, as_json: JsonOption = False) -> None:
    """Say whether the local stack runs, and where. Exit code 1 when it does not.

    Example: vmhub local status
    """
    folder = _folder(state_dir)
    stack = load_stack(folder)
    is_running = stack is not None and stack.is_running()
    if as_json:
        show_json({"running": is_running, **(_addresses(stack) if stack and is_running else {})})
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
        "logs": str(stack.state_dir),
    }


def _running_stack(folder: Path) -> LocalStack:
    stack = load_stack(folder)
    if stack is None or not stack.is_running():
        message = f"no local stack runs from {folder}"
        raise ConfigurationError(message, hint="start one with `vmhub local up`")
    return stack


def _print_variables(stack: LocalStack) -> None:
    for name, value in stack.environment().variables().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _folder(given: Path | None) -> Path:
    return given.resolve() if given else state_dir(find_project()) / "local"


def _instant(text: str | None) -> datetime:
    """Return an instant in UTC.

    Raises:
        ConfigurationError: It is no ISO 8601 instant, or has no offset.

    """
    if text is None:
        return datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        message = f"'{text}' is not an instant"
        raise ConfigurationError(message, hint="write it as 2026-11-23T10:00:00-03:00")
    return instant.astimezone(UTC)


def _show(report: Any, show: Any, *, as_json: bool) -> None:
    if as_json:
        show_json(report)
    else:
        show(report)


def _on_terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    # An exception instead of the end, so that what was opened is closed.
    sys.exit(128 + signal.SIGTERM)
