"""What a laundromat's campaigns would do at another instant or with other settings.

Builds into {CNPJ}_PREVIEW only; nothing in {CNPJ}_CAMPAIGN or Firestore changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from loader.dbt.build import build
from loader.dbt.spec import Side
from loader.questions.decisions import funnels, read_decisions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.dbt.project import Project
    from loader.dbt.spec import BuildSpec
    from loader.questions.decisions import Decision, Funnel
    from loader.questions.explain import Explainer, Verdict

__all__ = ["Comparison", "PreviewReport", "TargetChange", "preview"]

# The tables hold people's names and phones, so they expire.
_KEPT_FOR = timedelta(days=7)


@dataclass(frozen=True)
class TargetChange:
    """A customer who is a target in one build but not in the other."""

    campaign_type: str
    customer_id: str
    reason: str
    """Why the customer is not a target in the other build."""


@dataclass(frozen=True)
class Comparison:
    """The difference between two builds."""

    as_of: datetime
    is_live: bool
    """True: compared with the live tables; False: with the current settings."""
    funnels: tuple[Funnel, ...]
    comes: tuple[TargetChange, ...]
    goes: tuple[TargetChange, ...]


@dataclass(frozen=True)
class PreviewReport:
    """Who would be targeted, who would not, and what that changes."""

    cnpj: Cnpj
    as_of: datetime
    funnels: tuple[Funnel, ...]
    targets: tuple[Decision, ...]
    comparison: Comparison | None


def preview(
    explainer: Explainer, project: Project, spec: BuildSpec, baseline: BuildSpec | None
) -> PreviewReport:
    """Build a preview and its baseline into the preview dataset.

    Args:
        explainer: Runs dbt, has the warehouse, and gives the reasons.
        project: Declares the source tables.
        spec: What to show; its side is PREVIEW.
        baseline: What to compare it with; built, too, unless it is live. None: no comparison.

    Raises:
        ConfigurationError: A source table is not as declared.
        BuildError: A model or a test failed.

    """
    explainer.warehouse.create_dataset(
        spec.dataset,
        description=f"Previews of CNPJ {spec.cnpj}, made by vmhub preview; tables expire.",
        tables_expire_after=_KEPT_FOR,
    )
    before = _decisions(explainer, project, baseline) if baseline else []
    decided = _decisions(explainer, project, spec)
    return PreviewReport(
        spec.cnpj,
        spec.as_of,
        funnels(decided),
        tuple(decision for decision in decided if decision.first_blocker is None),
        _compare(explainer, spec, decided, baseline, before) if baseline else None,
    )


def _decisions(explainer: Explainer, project: Project, spec: BuildSpec) -> list[Decision]:
    if spec.side is not Side.LIVE:
        # The figures are about sent messages, which a preview does not change.
        arguments = ["--exclude", "tag:daily"]
        build(
            explainer.dbt,
            project,
            explainer.warehouse,
            spec,
            arguments=arguments,
            keeps_log=True,
        )
    return read_decisions(explainer.warehouse, spec)


def _compare(
    explainer: Explainer,
    spec: BuildSpec,
    decided: list[Decision],
    baseline: BuildSpec,
    before: list[Decision],
) -> Comparison:
    now_targeted, once_targeted = _target_keys(decided), _target_keys(before)
    return Comparison(
        baseline.as_of,
        is_live=baseline.side is Side.LIVE,
        funnels=funnels(before),
        comes=_changes(explainer, baseline, now_targeted - once_targeted),
        goes=_changes(explainer, spec, once_targeted - now_targeted),
    )


def _target_keys(decisions: Iterable[Decision]) -> set[tuple[str, str]]:
    return {
        (decision.campaign_type, decision.customer_id)
        for decision in decisions
        if decision.first_blocker is None
    }


def _changes(
    explainer: Explainer, missing_in: BuildSpec, keys: set[tuple[str, str]]
) -> tuple[TargetChange, ...]:
    """Return the changes, with the reason why the customers are not targets in that build."""
    if not keys:
        return ()
    verdicts = explainer.verdicts(missing_in, sorted({customer_id for _, customer_id in keys}))
    return tuple(TargetChange(*key, _reason(verdicts.get(key))) for key in sorted(keys))


def _reason(verdict: Verdict | None) -> str:
    return verdict.why_not() if verdict else "not registered then, or the campaign is switched off"
