"""The command line: parse, build, call, show; and an error to its exit code."""

from __future__ import annotations

import logging
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path  # noqa: TC003 - Typer looks at it while the program runs
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
import yaml

from loader.cli_local import demo_command, local_app
from loader.cnpj import parse_cnpj
from loader.errors import ConfigurationError, ExitCode, VmhubError
from loader.logs import LogFormat, configure_logs
from loader.onboard import onboard
from loader.show import (
    progress_bar,
    show_build,
    show_explanation,
    show_json,
    show_onboard,
    show_owner_report,
    show_preview,
    show_sync,
    show_track,
)

if TYPE_CHECKING:
    from types import FrameType

    from loader.cnpj import Cnpj
    from loader.session import Session

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
    session = _session()
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
    report = _session().build(parsed, as_of=instant, arguments=arguments)
    _show(report, show_build, as_json=as_json)
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
    parsed, instant = parse_cnpj(cnpj), _instant(as_of)
    from loader.sync import SyncOptions  # noqa: PLC0415

    options = SyncOptions(
        is_dry_run=dry_run,
        max_age=timedelta(minutes=max_age),
        max_withdraw_percent=max_withdraw_percent,
        campaigns=frozenset(campaign or ()),
        limit=limit,
    )
    session = _session()
    with progress_bar(f"syncing {parsed}") as on_progress:
        report = session.sync(
            parsed, as_of=instant, options=options, max_ops=max_ops, on_progress=on_progress
        )
    _show(report, show_sync, as_json=as_json)
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
    instant = _instant(as_of)
    report = _session().track(_laundromats(cnpj, is_all=is_all), as_of=instant, is_full=full)
    _show(report, show_track, as_json=as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _laundromats(named: list[str] | None, *, is_all: bool) -> list[Cnpj] | None:
    """Return the laundromats that are named; None: all.

    Raises:
        ConfigurationError: It is not said which, or twice.

    """
    if bool(named) == is_all:
        message = "which laundromats is not said, or said twice"
        raise ConfigurationError(message, hint="give --cnpj, once or more, or --all")
    return None if is_all else [parse_cnpj(text) for text in named or ()]


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
    _show(_session().explain(parsed, customer), show_explanation, as_json=as_json)


@app.command("preview")
def preview_command(
    cnpj: CnpjOption,
    as_of: AsOfOption = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting to try, such as loyalty_min_visits=8.", metavar="NAME=VALUE"
        ),
    ] = None,
    compare_to: Annotated[
        str | None,
        typer.Option(
            help="live: the tables as last built; or an instant, with the settings as they are; "
            "default with --set: the same instant without it.",
            metavar="live|T",
        ),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show who would be targeted at another instant or with other settings. Sends nothing.

    Builds into {CNPJ}_PREVIEW only.

    Example: vmhub preview --cnpj 12ABC34501DE35 --set loyalty_min_visits=8
    """
    parsed, instant = parse_cnpj(cnpj), _instant(as_of)
    report = _session().preview(
        parsed,
        as_of=instant,
        changes=dict(_change(text) for text in changes or ()),
        compare_to=_baseline(compare_to),
    )
    _show(report, show_preview, as_json=as_json)


@app.command("report")
def report_command(
    cnpj: CnpjOption,
    out: Annotated[Path, typer.Option(help="The page to write, such as report.html.")],
    days: Annotated[
        int, typer.Option(help="How many days it is about, up to that of --as-of.", min=1, max=366)
    ] = 30,
    as_of: AsOfOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Write a page for a laundromat's owner: what became of the messages, in Portuguese.

    Needs the tables of `vmhub build --selector daily`. Names no customer.

    Example: vmhub report --cnpj 12ABC34501DE35 --days 30 --out report.html
    """
    parsed, instant = parse_cnpj(cnpj), _instant(as_of)
    figures = _session().owner_figures(parsed, as_of=instant, days=days)
    # Imported here: matplotlib takes a second, and nothing else needs it.
    from loader.owner_report.output import write_page  # noqa: PLC0415
    from loader.owner_report.page import render  # noqa: PLC0415

    size = write_page(out, render(figures))
    if as_json:
        show_json(figures)
    else:
        show_owner_report(figures, out, size)


def _baseline(text: str | None) -> datetime | Literal["live"] | None:
    if text is None:
        return None
    return "live" if text == "live" else _instant(text)


def _change(text: str) -> tuple[str, Any]:
    """Return the name and value of a setting, the value read as YAML.

    Raises:
        ConfigurationError: There is no name, or no value that YAML takes.

    """
    name, separator, value = text.partition("=")
    try:
        if name and separator:
            return name, yaml.safe_load(value)
    except yaml.YAMLError:
        pass
    message = f"--set {text} is not NAME=VALUE"
    raise ConfigurationError(
        message, hint="write it as loyalty_min_visits=8 or 'reactivation_stage_days=[20, 40]'"
    )


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


def _session() -> Session:
    # Imported here, as above: Google's clients take seconds, and help and usage errors do without.
    from loader.session import Session  # noqa: PLC0415

    return Session.open()


def _on_terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    # An exception instead of the end, so that what was opened is closed.
    sys.exit(128 + signal.SIGTERM)
