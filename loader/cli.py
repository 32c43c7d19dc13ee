"""The command line: parse, build, call, show; and an error to its exit code."""

from __future__ import annotations

import logging
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from loader.cli_local import demo_command, local_app
from loader.cli_operations import check_command, settings_command
from loader.cli_options import (
    AsOfOption,
    CnpjOption,
    JsonOption,
    named_laundromats,
    open_session,
    parse_instant,
    show_result,
)
from loader.cli_questions import explain_command, preview_command, report_command
from loader.cli_run import run_command
from loader.cli_schedule import schedule_command
from loader.cli_status import status_command
from loader.cnpj import parse_cnpj
from loader.errors import ExitCode, VmhubError
from loader.logs import LogFormat, configure_logs
from loader.onboard import onboard
from loader.show import progress_bar, show_build, show_onboard, show_sync, show_track

if TYPE_CHECKING:
    from types import FrameType

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
app.add_typer(local_app, name="local")
app.command("demo")(demo_command)


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
        LogFormat, typer.Option(help="How logs and errors look on stderr.")
    ] = LogFormat.TEXT,
) -> None:
    configure_logs(log_format)
    # For commands that start processes, which log alike.
    context.obj = log_format


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
    session = open_session()
    report = onboard(
        session.project,
        session.warehouse,
        session.registry,
        cnpj=parsed,
        name=name,
        timezone=timezone,
    )
    show_result(report, show_onboard, as_json=as_json)


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
    parsed, instant = parse_cnpj(cnpj), parse_instant(as_of)
    arguments = ["--selector", selector] if selector else []
    report = open_session().build(parsed, as_of=instant, arguments=arguments)
    show_result(report, show_build, as_json=as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


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
    campaign: Annotated[
        list[str] | None,
        typer.Option(help="Only this campaign; can be repeated. Default: all.", metavar="TYPE"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Write at most so many rows; withdrawals are made all the same.", min=1),
    ] = None,
    max_ops: Annotated[
        int | None,
        typer.Option(
            help="Writes a second, 0 for no bound; default: Firestore's ramp, from 500 a second, "
            "half as much again every 5 minutes, and no bound on an emulator.",
            min=0,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring Firestore in line with a laundromat's campaign_targets.

    Example: vmhub sync --cnpj 12ABC34501DE35 --campaign BIRTHDAY --limit 10 --dry-run
    """
    parsed, instant = parse_cnpj(cnpj), parse_instant(as_of)
    from loader.sync import SyncOptions  # noqa: PLC0415

    options = SyncOptions(
        is_dry_run=dry_run,
        max_age=timedelta(minutes=max_age),
        max_withdraw_percent=max_withdraw_percent,
        campaigns=frozenset(campaign or ()),
        limit=limit,
    )
    session = open_session()
    with progress_bar(f"syncing {parsed}") as on_progress:
        report = session.sync(
            parsed, as_of=instant, options=options, max_ops=max_ops, on_progress=on_progress
        )
    show_result(report, show_sync, as_json=as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


@app.command("track")
def track_command(
    cnpj: Annotated[
        list[str] | None,
        typer.Option("--cnpj", help="A laundromat; can be repeated."),
    ] = None,
    as_of: AsOfOption = None,
    *,
    is_all: Annotated[bool, typer.Option("--all", help="All active laundromats.")] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Read all documents, for senders that set no updatedAt."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring message_history up to date with what became of the messages.

    Example: vmhub track --all
    """
    instant = parse_instant(as_of)
    report = open_session().track(
        named_laundromats(cnpj, is_all=is_all), as_of=instant, is_full=full
    )
    show_result(report, show_track, as_json=as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


app.command("run")(run_command)
app.command("explain")(explain_command)
app.command("preview")(preview_command)
app.command("report")(report_command)
app.command("schedule")(schedule_command)
app.command("settings")(settings_command)
app.command("check")(check_command)
app.command("status")(status_command)


def _on_terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    # An exception instead of the end, so that what was opened is closed.
    sys.exit(128 + signal.SIGTERM)
