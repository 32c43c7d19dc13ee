"""How results look: Rich tables for people, plain dictionaries for ``--json``."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress
from rich.table import Table

from loader.targets import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from loader.build import BuildReport
    from loader.built import Funnel
    from loader.demo.run import Cycle, DemoReport
    from loader.explain import Explanation, Verdict
    from loader.onboard import OnboardReport
    from loader.owner_report.figures import OwnerFigures
    from loader.preview import PreviewReport
    from loader.sync import SyncReport
    from loader.track import TrackReport

__all__ = [
    "progress_bar",
    "result_console",
    "show_build",
    "show_demo",
    "show_explanation",
    "show_json",
    "show_onboard",
    "show_owner_report",
    "show_preview",
    "show_sync",
    "show_track",
]

# Results wrap at the width of the terminal; into a pipe or file they go unwrapped.
_PIPE_WIDTH = 160
# Longer lists are for --json.
_LISTED = 50
_SHOWN_PROBLEMS = 20

_NEXT = (
    ("make demo KEEP=1", "the same, with the servers left up, so that you can run"),
    ("vmhub explain --cnpj 11222333000181 --customer ipe-011", "why this customer got no message"),
    ("docs/rules.md", "what the blockers mean"),
    ("docs/analysts-guide.md", "how to change a rule or a text, or add a campaign"),
    ("models/campaigns/", "the campaigns themselves, a file each"),
    ("make docs", "all models and columns, in one page"),
)


@contextmanager
def progress_bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Show on a terminal how far something is; yields what to tell the done and the whole."""
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)


def show_json(result: Any) -> None:
    """Print one JSON object."""
    content = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    print(json.dumps(_plain(content), ensure_ascii=False))  # noqa: T201 - the command's result


def show_onboard(report: OnboardReport) -> None:
    """Print what `vmhub onboard` did."""
    console = result_console()
    console.print(f"{report.cnpj} is {'registered' if report.is_new else 'registered already'}")
    for table in report.created_tables:
        console.print(f"  created {table}")
    for problem in report.raw_problems:
        console.print(f"  still missing before the first build: {problem}")


def show_owner_report(figures: OwnerFigures, path: Path, size: int) -> None:
    """Print where the owner's page is, and what it says in one line."""
    totals = figures.totals
    period = f"{figures.period.first_on} to {figures.period.last_on}"
    result_console().print(
        f"{figures.laundromat.cnpj}, {period}: {totals.sent} sent, {totals.delivered} delivered, "
        f"{totals.failed} failed, {totals.purchases} purchases; "
        f"{path}, {-(-size // 1024)} KiB",
        markup=False,
        soft_wrap=True,
    )


def show_build(report: BuildReport) -> None:
    """Print what `vmhub build` did."""
    console = result_console()
    counts = ", ".join(f"{count} {status}" for status, count in sorted(report.nodes.items()))
    console.print(f"{report.cnpj} built as of {report.as_of:%Y-%m-%d %H:%M:%SZ}: {counts}")
    for warning in report.warnings:
        console.print(f"  warning: {warning.name}: {warning.message}")


def show_sync(report: SyncReport) -> None:
    """Print a row per campaign, an outcome a column, and below it what somebody should see."""
    console = result_console()
    outcomes = [outcome for outcome in Outcome if report.total(outcome)]
    title = f"{report.cnpj} synced as of {report.as_of:%Y-%m-%d %H:%M:%SZ}"
    table = Table(title=f"{title} (dry run)" if report.is_dry_run else title)
    table.add_column("campaign")
    for heading in ("rows", *outcomes):
        table.add_column(heading, justify="right")
    for campaign in report.campaigns:
        table.add_row(
            campaign.campaign_type,
            str(campaign.rows_read),
            *(str(campaign.outcomes.get(outcome, 0)) for outcome in outcomes),
        )
    console.print(table)
    for problem in report.problems[:_SHOWN_PROBLEMS]:
        console.print(
            f"  {problem.outcome}: {problem.campaign_type} {problem.customer_id}: {problem.reason}",
            markup=False,
        )
    more = report.problem_count - len(report.problems[:_SHOWN_PROBLEMS])
    if more:
        where = "" if report.is_dry_run else "; all are in VMHUB_OPS.sync_rejects"
        console.print(f"  and {more} more{where}")
    if report.untracked:
        console.print(
            f"  {report.untracked} rows wait until `vmhub track` has recorded an older message"
        )
    if report.stopped is not None:
        console.print(
            f"stopped: {report.stopped.reason}; the next run takes up the rows deferred here",
            markup=False,
        )


def show_track(report: TrackReport) -> None:
    """Print a row per laundromat that had news or trouble."""
    console = result_console()
    kind = "all documents" if report.is_full else "changed documents"
    console.print(
        f"Tracked as of {report.as_of:%Y-%m-%d %H:%M:%SZ}: {report.documents_read} {kind} of "
        f"{len(report.laundromats)} laundromats"
    )
    table = Table()
    for heading in ("CNPJ", "documents", "attempts", "unreadable", "error"):
        table.add_column(heading)
    for laundromat in report.laundromats:
        if laundromat.documents or laundromat.error:
            table.add_row(
                laundromat.cnpj,
                str(laundromat.documents),
                str(laundromat.rows),
                str(len(laundromat.oddities)),
                laundromat.error,
            )
    if table.row_count:
        console.print(table)
    oddities = [
        f"{laundromat.cnpj} {oddity.campaign_type} {oddity.customer_id}: {oddity.reason}"
        for laundromat in report.laundromats
        for oddity in laundromat.oddities
    ]
    _list(console, oddities)
    if report.unknown_documents:
        console.print(f"  {report.unknown_documents} documents of laundromats that are not active")


def show_explanation(explanation: Explanation) -> None:
    """Print the facts, and each campaign's verdict with what is behind it."""
    console = result_console()
    console.print(
        f"Customer {explanation.customer_id} of {explanation.cnpj}, "
        f"as of {explanation.built_at:%Y-%m-%d %H:%M:%SZ}",
        markup=False,
    )
    for name, value in explanation.facts.items():
        console.print(f"  {name}: {'-' if value is None else _plain(value)}", markup=False)
    for campaign in explanation.campaigns:
        console.print(f"{campaign.campaign_type}: {_headline(campaign.verdict)}", markup=False)
        for line in _reasons(campaign.verdict) if campaign.verdict else ():
            console.print(f"  {line}", markup=False)
        if campaign.document:
            fields = ", ".join(
                f"{name} {_plain(value)}" for name, value in campaign.document.items()
            )
            console.print(f"  document: {fields}", markup=False)
    if not explanation.is_current:
        console.print("A setting or the SQL has changed since the build: build again to be sure.")


def _headline(verdict: Verdict | None) -> str:
    if verdict is None:
        return "switched off for this laundromat"
    if not verdict.is_candidate:
        return "not a candidate"
    held_back = ", held back" if verdict.blockers else ""
    return f"{'candidate' if held_back else 'target'} for cycle {verdict.cycle_key}{held_back}"


def _reasons(verdict: Verdict) -> Iterator[str]:
    for trigger in verdict.triggers:
        mark = "met" if trigger.is_met else "not met"
        yield f"{mark}: {trigger.sentence}{_change_date(trigger.changes_on)}"
    for blocker in verdict.blockers:
        yield f"{blocker.name}: {blocker.fact}{_change_date(blocker.changes_on)}"


def _change_date(day: date | None) -> str:
    return f" (can change on {day})" if day else ""


def show_preview(report: PreviewReport) -> None:
    """Print the funnel, then who comes and who goes and why, or who is targeted."""
    console = result_console()
    console.print(f"{report.cnpj} previewed as of {report.as_of:%Y-%m-%d %H:%M:%SZ}; nothing sent")
    comparison = report.comparison
    console.print(_funnel_table("The preview", report.funnels))
    if comparison is None:
        _list(
            console, [f"{target.campaign_type} {target.customer_id}" for target in report.targets]
        )
        return
    which = "the live tables" if comparison.is_live else "the settings as they are"
    title = f"Compared with {which}, as of {comparison.as_of:%Y-%m-%d %H:%M:%SZ}"
    console.print(_funnel_table(title, comparison.funnels))
    for heading, changes in (("come", comparison.comes), ("go", comparison.goes)):
        console.print(f"{len(changes)} targets {heading}")
        _list(
            console,
            [f"{item.campaign_type} {item.customer_id}: {item.reason}" for item in changes],
        )


def _funnel_table(title: str, funnels: Iterable[Funnel]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("campaign")
    table.add_column("candidates", justify="right")
    table.add_column("blocked, by first reason")
    table.add_column("targets", justify="right")
    for funnel in funnels:
        table.add_row(
            funnel.campaign_type,
            str(funnel.candidates),
            _counts(funnel.blocked),
            str(funnel.targets),
        )
    return table


def _list(console: Console, lines: list[str]) -> None:
    for line in lines[:_LISTED]:
        console.print(f"  {line}", markup=False)
    if len(lines) > _LISTED:
        console.print(f"  … and {len(lines) - _LISTED} more; --json lists all")


def show_demo(report: DemoReport) -> None:
    """Print the demo's course."""
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
        console.print_json(json.dumps(_plain(document)), ensure_ascii=False, sort_keys=True)
    console.print("\n[bold]3. An hour of the sender[/bold]")
    for cnpj, deliveries in report.deliveries.items():
        sent = sum(delivery.status == "SENT" for delivery in deliveries)
        console.print(f"{cnpj}: {sent} sent, {len(deliveries) - sent} failed and may be retried")
    console.print("\n[bold]4. The next cycle, an hour later: nobody is targeted twice[/bold]")
    for cycle in report.second:
        console.print(f"\n{cycle.laundromat.name}, CNPJ {cycle.laundromat.cnpj}")
        console.print(_cycle_table(cycle))
    created = sum(cycle.sync.total(Outcome.CREATED, Outcome.REPLACED) for cycle in report.second)
    sent = sum(cycle.sync.total(Outcome.ALREADY_SENT) for cycle in report.second)
    requeued = sum(cycle.sync.total(Outcome.REQUEUED) for cycle in report.second)
    console.print(
        f"\nIn the second cycle {created} documents were created, {sent} customers were left alone "
        f"because their message had gone out, and {requeued} failed message was queued again."
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
            _counts(funnel.blocked),
            str(funnel.targets),
            _counts(outcomes),
        )
    return table


def _counts(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "-"


def result_console() -> Console:
    """Return where results go: unwrapped into a pipe or a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date() | Decimal():
            return str(value)
        case Path() | Enum():
            return str(value.value if isinstance(value, Enum) else value)
        case dict():
            return {str(_plain(key)): _plain(item) for key, item in value.items()}
        case list() | tuple() | frozenset():
            return [_plain(item) for item in value]
        case _:
            return value
