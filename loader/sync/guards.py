"""Guards against harm: stale targets, mass withdrawal, rows that cannot become documents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loader.base.errors import RunError
from loader.sync.model import Target

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from loader.base.cnpj import Cnpj
    from loader.sync.model import TargetDocument
    from loader.sync.ports import TargetSource

__all__ = [
    "check_rows",
    "check_withdrawals",
    "is_expired",
    "is_mass_withdrawal",
    "published_at",
    "rejection",
]

# https://cloud.google.com/firestore/quotas
_ILLEGAL_ID = re.compile(r"/|^\.{1,2}$|^__.*__$", re.DOTALL)
_MAX_ID_BYTES = 1500
_E164 = re.compile(r"\+[1-9][0-9]{7,14}")
_WITHDRAW_FREELY = 20


def published_at(source: TargetSource, cnpj: Cnpj, as_of: datetime, max_age: timedelta) -> datetime:
    """Return the instant of the last good build; raise a RunError when it is missing or too old."""
    table = f"{cnpj}_CAMPAIGN.campaign_targets"
    build = f"run `vmhub build --cnpj {cnpj}` and look at what it says"
    built_at = source.published_at(cnpj)
    if built_at is None:
        message = f"{table} has never been published"
        raise RunError(message, hint=build)
    if built_at > as_of:
        message = f"{table} was built as of {built_at:%Y-%m-%d %H:%M:%SZ}, later than this run"
        raise RunError(message, hint="give the same --as-of to build and to sync")
    if as_of - built_at > max_age:
        message = (
            f"{table} is stale: last published as of {built_at:%Y-%m-%d %H:%M:%SZ}, "
            f"more than {max_age} before this run"
        )
        raise RunError(message, hint=build)
    return built_at


def check_rows(targets: Iterable[Target], cnpj: Cnpj, built_at: datetime) -> None:
    """Raise a RunError for rows of another laundromat or of another build."""
    table = f"{cnpj}_CAMPAIGN.campaign_targets"
    build = f"build it again: vmhub build --cnpj {cnpj}"
    for target in targets:
        if target.cnpj != cnpj:
            message = f"{table} holds a row of CNPJ {target.cnpj}"
            raise RunError(message, hint=build)
        if target.campaign_type is None:
            message = f"{table} holds a row without a campaign_type"
            raise RunError(message, hint=build)
        if target.built_at != built_at:
            message = f"{table} is not what was last published"
            raise RunError(
                message, hint="a build was stopped half-way or is under way; build, then sync again"
            )


def is_expired(document: TargetDocument, as_of: datetime) -> bool:
    """Return whether a document may not be sent any more."""
    return document.expires_at is not None and document.expires_at <= as_of


def is_mass_withdrawal(withdrawals: int, pending: int, max_percent: int) -> bool:
    """Return whether too large a share of the pending documents would be withdrawn."""
    return withdrawals > _WITHDRAW_FREELY and withdrawals * 100 > pending * max_percent


def check_withdrawals(
    withdrawals: int, pending: int, max_percent: int, *, opted_out: int = 0
) -> None:
    """Raise a RunError when too large a share of the pending documents would be withdrawn.

    Args:
        withdrawals: Number of documents that would be withdrawn.
        pending: Number of pending documents.
        max_percent: The largest allowed share.
        opted_out: How many were withdrawn before because their customers have opted out.

    """
    if is_mass_withdrawal(withdrawals, pending, max_percent):
        done = (
            f"only the {opted_out} of customers who opted out were withdrawn"
            if opted_out
            else "nothing was written"
        )
        message = (
            f"{withdrawals} of {pending} pending targets would be withdrawn, "
            f"more than {max_percent} %; {done}"
        )
        raise RunError(
            message,
            hint="look at campaign_decisions for the blocker behind it; if it is right, "
            f"run again with --max-withdraw-percent {-(-withdrawals * 100 // pending)}",
        )


def rejection(target: Target, as_of: datetime) -> str:
    """Return why a row cannot become a document, apart from its payload; empty when it can."""
    if None in target:
        return f"{Target._fields[target.index(None)]} is NULL"
    if not _is_legal_id(target.customer_id):
        return "the customer id is not a legal document id"
    if not _is_legal_id(target.campaign_type):
        return "the campaign type is not a legal document id"
    if not _E164.fullmatch(target.phone):
        return "the phone is not in E.164"
    if target.expires_at <= as_of:
        return f"the target expired at {target.expires_at:%Y-%m-%d %H:%M:%SZ}"
    return ""


def _is_legal_id(id_: str) -> bool:
    return 1 <= len(id_.encode()) <= _MAX_ID_BYTES and not _ILLEGAL_ID.search(id_)
