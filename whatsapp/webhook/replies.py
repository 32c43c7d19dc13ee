"""Answers of people: when the first came, and its words if the laundromat keeps them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from whatsapp.webhook.receipts import earliest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whatsapp.targets import TargetState

__all__ = ["Told", "replied_send", "replied_target"]

_MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Told:
    """An answer."""

    at: datetime
    text: str | None = None
    """None: its words are not kept."""


def replied_send(send: Mapping[str, Any], told: Told) -> dict[str, Any]:
    """Return the fields of ``sends/{attemptId}`` after an answer."""
    known = send.get("repliedAt")
    is_first = not isinstance(known, datetime) or told.at < known
    said = {**send, "repliedAt": earliest(known, told.at)}
    if is_first and told.text is not None:
        said["replyText"] = told.text[:_MAX_TEXT]
    return said


def replied_target(
    state: TargetState, target: Mapping[str, Any], attempt_id: str, told: Told
) -> dict[str, Any]:
    """Return the fields of a target after an answer; only one to its newest attempt counts."""
    entry = state.entry(attempt_id)
    if entry is None or entry is not state.log[-1]:
        return dict(target)
    return {**target, "repliedAt": earliest(target.get("repliedAt"), told.at)}
