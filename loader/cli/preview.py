"""`vmhub preview`: what another instant or setting would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from loader.base.cnpj import parse_cnpj
from loader.cli.changes import parse_changes
from loader.cli.failures import build_errors_in_full
from loader.cli.options import (
    AsOfOption,
    CnpjOption,
    JsonOption,
    open_services,
    parse_instant,
)
from loader.cli.output import (
    funnel_table,
    list_lines,
    print_result,
    result_console,
)

if TYPE_CHECKING:
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.questions.preview import PreviewReport
    from loader.services import Services

__all__ = ["preview_command", "preview_laundromat", "show_preview"]


def preview_command(
    context: typer.Context,
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

    Builds into {CNPJ}_PREVIEW only. It lists customers, so it is recorded in VMHUB_OPS.audit.

    Example: vmhub preview --cnpj 12ABC34501DE35 --set loyalty_min_visits=8
    """
    parsed, instant = parse_cnpj(cnpj), parse_instant(as_of)
    with build_errors_in_full(context.obj):
        report = preview_laundromat(
            open_services(),
            parsed,
            as_of=instant,
            changes=parse_changes(changes or ()),
            compare_to=_baseline(compare_to),
        )
    print_result(report, show_preview, as_json=as_json)


def preview_laundromat(
    services: Services,
    cnpj: Cnpj,
    *,
    as_of: datetime,
    changes: dict[str, Any],
    compare_to: datetime | Literal["live"] | None,
) -> PreviewReport:
    """Preview a registered laundromat's campaigns; see `loader.questions.preview`.

    Args:
        services: The connections.
        cnpj: The laundromat.
        as_of: The instant to show.
        changes: Settings to try, by name.
        compare_to: An instant with the current settings, or the live tables. None: if settings are
            changed, the same instant without the changes; else nothing.

    """
    from loader.bigquery.audit import AuditAction, AuditEntry  # noqa: PLC0415
    from loader.dbt.spec import BuildSpec, Side  # noqa: PLC0415
    from loader.laundromat import resolve  # noqa: PLC0415
    from loader.questions.decisions import last_build  # noqa: PLC0415
    from loader.questions.explain import Explainer  # noqa: PLC0415
    from loader.questions.preview import preview  # noqa: PLC0415

    laundromat = services.laundromat(cnpj)
    warehouse = services.warehouse.acting_for(cnpj)
    changed = resolve(services.project, laundromat.entry, changes)
    baseline = None
    if isinstance(compare_to, str):
        baseline = BuildSpec(laundromat.settings, last_build(warehouse, cnpj))
    elif compare_to is not None or changes:
        baseline = BuildSpec(laundromat.settings, compare_to or as_of, Side.BASELINE)
    # The names of the settings only: a value could be anything.
    tried = {"as_of": as_of.isoformat(), "settings": sorted(changes)}
    audit = services.new_audit_log("vmhub preview")
    audit.record([AuditEntry(AuditAction.LOOK, "targets of a preview", cnpj, after=tried)])
    return preview(
        Explainer(services.dbt, warehouse),
        services.project,
        BuildSpec(changed.settings, as_of, Side.PREVIEW),
        baseline,
    )


def show_preview(report: PreviewReport) -> None:
    """Print the funnel, then the new and dropped targets with reasons, or all targets."""
    console = result_console()
    console.print(f"{report.cnpj} previewed as of {report.as_of:%Y-%m-%d %H:%M:%SZ}; nothing sent")
    comparison = report.comparison
    console.print(funnel_table("The preview", report.funnels))
    if comparison is None:
        list_lines(
            console, [f"{target.campaign_type} {target.customer_id}" for target in report.targets]
        )
        return
    which = "the live tables" if comparison.is_live else "the settings as they are"
    title = f"Compared with {which}, as of {comparison.as_of:%Y-%m-%d %H:%M:%SZ}"
    console.print(funnel_table(title, comparison.funnels))
    for heading, changes in (("come", comparison.comes), ("go", comparison.goes)):
        console.print(f"{len(changes)} targets {heading}")
        list_lines(
            console,
            [f"{item.campaign_type} {item.customer_id}: {item.reason}" for item in changes],
        )


def _baseline(text: str | None) -> datetime | Literal["live"] | None:
    if text is None:
        return None
    return "live" if text == "live" else parse_instant(text, "--compare-to")
