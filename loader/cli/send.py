"""`vmhub send`: send waiting targets, and review what failed."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from loader.base.cnpj import parse_cnpj
from loader.base.errors import ConfigurationError
from loader.bigquery.audit import AuditAction, AuditEntry
from loader.cli.options import (
    CnpjOption,
    JsonOption,
    open_services,
)
from loader.cli.output import counts_in_words, print_json, result_console
from whatsapp.process import Seeds, connections, new_attempter, send
from whatsapp.records import SendLog
from whatsapp.review import ResolvedAs, ReviewFinding, findings, resolve_attempt

if TYPE_CHECKING:
    from whatsapp.report import SendReport

__all__ = ["send_app", "show_send"]

send_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
)

OneCnpjOption = Annotated[
    str | None, typer.Option("--cnpj", help="This laundromat only; default: all.")
]


@send_app.callback(invoke_without_command=True)
def send_command(
    context: typer.Context,
    cnpj: OneCnpjOption = None,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Send what may be sent now, then end.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send every waiting target, at most once, until SIGINT or SIGTERM.

    Only one sender works for a WhatsApp portfolio at a time; a second one waits for its turn. After
    a signal it begins no new message, and finishes and records those under way. The exit code is
    then 130 or 143.

    Example: vmhub send --once
    """
    if context.invoked_subcommand is not None:
        return
    services = open_services()
    report, received = send(
        services.environment,
        Seeds(services.project.root / "seeds"),
        once=once,
        cnpj=parse_cnpj(cnpj) if cnpj else None,
        log=SendLog(services.new_ops_log()),
    )
    if as_json:
        print_json(report.as_json())
    else:
        show_send(report)
    code = 128 + received if received is not None else report.exit_code
    if code:
        raise typer.Exit(code)


@send_app.command("review")
def send_review(cnpj: OneCnpjOption = None, *, as_json: JsonOption = False) -> None:
    """List the messages that failed or whose outcome is unknown, each with what to do.

    It lists customers, so it is recorded in VMHUB_OPS.audit.

    Example: vmhub send review --cnpj 11222333000181
    """
    services = open_services()
    classes = Seeds(services.project.root / "seeds").error_classes

    parsed = parse_cnpj(cnpj) if cnpj else None

    async def look() -> list[ReviewFinding]:
        async with connections(services.environment, classes) as found:
            return await findings(found.store, classes, now=datetime.now(UTC), cnpj=parsed)

    audit = services.new_audit_log("vmhub send review")
    audit.record([AuditEntry(AuditAction.LOOK, "messages that failed", parsed)])
    looked = asyncio.run(look())
    if as_json:
        print_json({"findings": [asdict(item) for item in looked]})
    else:
        _show_findings(looked)


@send_app.command("resolve")
def send_resolve(
    cnpj: CnpjOption,
    campaign: Annotated[str, typer.Option(help="The campaign's type, such as BIRTHDAY.")],
    customer: Annotated[str, typer.Option(help="The customer's id.")],
    outcome: Annotated[ResolvedAs, typer.Option(help="What became of the message.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Record what became of a message whose outcome stayed unknown.

    Only a person can decide that it was not sent. It is then sent again, in the same cycle. The
    decision is recorded in VMHUB_OPS.audit.

    Example: vmhub send resolve --cnpj 11222333000181 --campaign BIRTHDAY --customer 7 --outcome
    sent
    """
    services = open_services()
    classes = Seeds(services.project.root / "seeds").error_classes
    now, parsed = datetime.now(UTC), parse_cnpj(cnpj)

    async def decide() -> str:
        async with connections(services.environment, classes) as found:
            name = found.store.target_name(parsed, campaign.upper(), customer)
            target = await found.store.target(name)
            if target is None:
                message = f"there is no target {campaign.upper()} of customer {customer}"
                hint = "`vmhub send review` lists what can be resolved"
                raise ConfigurationError(message, hint=hint)
            attempter = new_attempter(found, classes, now=lambda: now)
            who = f"customer {services.pseudonym(parsed, customer)}"
            return await resolve_attempt(
                attempter,
                target,
                outcome,
                now=now,
                audit=services.new_audit_log("vmhub send resolve"),
                subject=f"message {campaign.upper()} to {who}",
            )

    attempt_id = asyncio.run(decide())
    if as_json:
        print_json({"attempt_id": attempt_id, "outcome": outcome})
    else:
        typer.echo(f"attempt {attempt_id} is {outcome}")


def show_send(report: SendReport) -> None:
    """Print what a sender did."""
    console = result_console()
    console.print(f"{report.sent} sent, {report.unknown} of unknown outcome")
    rows = (
        ("failed, by class", report.failed),
        ("not sent, by reason", report.stopped),
        ("found waiting", report.waiting),
    )
    for title, counts in rows:
        if any(counts.values()):
            console.print(f"{title}: {counts_in_words(counts)}")
    for pause in report.pauses:
        console.print(
            f"paused until {pause.until:%Y-%m-%d %H:%M:%SZ}: {pause.kind} {pause.key} "
            f"({pause.reason})",
            markup=False,
        )
    for cnpj, error in report.broken.items():
        console.print(f"{cnpj}: {error}", markup=False)


def _show_findings(found: list[ReviewFinding]) -> None:
    console = result_console()
    if not found:
        console.print("Nothing failed.")
        return
    table = Table()
    for heading in ("CNPJ", "campaign", "customer", "state", "code", "class", "what to do"):
        table.add_column(heading)
    for item in found:
        table.add_row(
            item.cnpj,
            item.campaign_type,
            item.customer_id,
            item.state,
            item.code,
            item.error_class,
            item.what_to_do,
        )
    console.print(table)
