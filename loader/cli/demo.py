"""`vmhub demo`: two cycles of the sample laundromats on a local stack."""

from __future__ import annotations

import json
import logging
import os
import shlex
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from loader.cli.failures import build_errors_in_full
from loader.cli.local import print_variables
from loader.cli.output import counts_in_words, plain, result_console
from loader.dbt.project import find_project
from loader.local.stack import local_stack, start_stack, stop_stack
from loader.sync.model import Outcome

if TYPE_CHECKING:
    from loader.local.demo import Cycle, DemoReport
    from loader.local.stack import LocalStack

__all__ = ["demo_command"]

_log = logging.getLogger(__name__)

_NEXT = (
    ("make demo KEEP=1", "the same, but the servers keep running, so that you can run"),
    ("vmhub explain --cnpj 11222333000181 --customer ipe-011", "why this customer got no message"),
    ("docs/rules.md", "what the blockers mean"),
    ("docs/analysts-guide.md", "how to change a rule or a text, or add a campaign"),
    ("models/campaigns/", "the campaigns themselves, one file each"),
    ("make docs", "all models and columns, in one page"),
)


def demo_command(
    context: typer.Context,
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the local stack running and print how to use it.")
    ] = False,
) -> None:
    """Play two cycles of three sample laundromats on a local stack of its own.

    Example: vmhub demo --keep
    """
    # Imported here: Google's clients take seconds, and help and usage errors do not need them.
    from loader.local.demo import SENDING_AT  # noqa: PLC0415

    project = find_project()
    folder = project.state_dir / "demo"
    firestore_host = os.environ.get("FIRESTORE_EMULATOR_HOST") or None
    _log.info("starting the local stack; its logs are in %s", folder)
    if not keep:
        with (
            build_errors_in_full(context.obj),
            local_stack(
                project, folder, firestore_host=firestore_host, receives=True, as_of=SENDING_AT
            ) as stack,
        ):
            _demo(stack)
        return
    stack = start_stack(
        project, folder, firestore_host=firestore_host, receives=True, as_of=SENDING_AT
    )
    try:
        with build_errors_in_full(context.obj):
            _demo(stack)
    except BaseException:
        stop_stack(stack)
        raise
    typer.echo(f"\nThe messages on the phones: {stack.whatsapp_url}")
    typer.echo("\nThe stack is still running. To use it from this shell:\n")
    print_variables(stack)
    typer.echo(f"\nTo end it: vmhub local down --state-dir {shlex.quote(str(folder))}")


def _demo(stack: LocalStack) -> None:
    from loader.cli.demo_sending import prepared_whatsapp  # noqa: PLC0415
    from loader.local.demo import run_demo  # noqa: PLC0415
    from loader.services import Services  # noqa: PLC0415

    services = Services(find_project(), stack.environment(), stack.state_dir)
    with prepared_whatsapp(services, stack) as phones:
        report = run_demo(services, _log.info, phones)
    show_demo(report)


def show_demo(report: DemoReport) -> None:
    """Print the demo, step by step."""
    console = result_console()
    console.print("\n[bold]1. Three laundromats, from raw rows to target documents[/bold]")
    for cycle in report.first:
        rows = ", ".join(
            f"{count} {table}" for table, count in report.rows[cycle.laundromat.cnpj].items()
        )
        console.print(f"\n{cycle.laundromat.name}, CNPJ {cycle.laundromat.cnpj}: {rows}")
        console.print(_cycle_table(cycle))
    console.print("\n[bold]2. What the WhatsApp integration finds[/bold] (the people are invented)")
    for document in report.documents:
        console.print_json(json.dumps(plain(document)), ensure_ascii=False, sort_keys=True)
    console.print("\n[bold]3. vmhub send: through the fake WhatsApp onto the phones[/bold]")
    for done in report.first_sent:
        console.print(f"{done.cnpj}: {done.sent} sent, {done.failed} failed and may be retried")
    told = report.receipts
    console.print(
        f"vmhub webhook heard of them: {told.get('DELIVERED', 0)} delivered, {told['read']} read."
    )
    who = report.opted_out
    console.print(f"Customer {who.customer_id} writes {who.text}, and reads: {who.answer}")
    console.print("\n[bold]4. The next cycle, an hour later: nobody is targeted twice[/bold]")
    for cycle in report.second:
        console.print(f"\n{cycle.laundromat.name}, CNPJ {cycle.laundromat.cnpj}")
        console.print(_cycle_table(cycle))
    created = sum(cycle.sync.total(Outcome.CREATED, Outcome.REPLACED) for cycle in report.second)
    sent = sum(cycle.sync.total(Outcome.ALREADY_SENT) for cycle in report.second)
    requeued = sum(cycle.sync.total(Outcome.REQUEUED) for cycle in report.second)
    console.print(
        f"\nIn the second cycle {created} documents were created, and {sent} customers were left "
        f"alone because their message had gone out. Two had failed; {requeued} waited again."
    )
    again = sum(done.sent for done in report.second_sent)
    console.print(
        f"The second hour of the sender sent {again} message. {who.customer_id}, who had failed, "
        "too, gets none any more."
    )
    console.print("\n[bold]Where to look next[/bold]")
    for place, what in _NEXT:
        console.print(f"  {place:<58} {what}", markup=False)


def _cycle_table(cycle: Cycle) -> Table:
    synced = {campaign.campaign_type: campaign for campaign in cycle.sync.campaigns}
    table = Table()
    table.add_column("campaign")
    table.add_column("candidates", justify="right")
    table.add_column("blocked, by first reason")
    table.add_column("targets", justify="right")
    table.add_column("documents")
    for funnel in cycle.funnels:
        outcomes = synced[funnel.campaign_type].outcomes
        table.add_row(
            funnel.campaign_type,
            str(funnel.candidates),
            counts_in_words(funnel.blocked),
            str(funnel.targets),
            counts_in_words(outcomes),
        )
    return table
